"""A pool keeps servers warm, lends each to one at a time, and replaces what is no good any more."""

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest

from echo_env import EchoAction, EchoEnv
from openenv.errors import (
    ConfigurationError,
    ImageNotFoundError,
    LeaseTimeoutError,
    ProviderError,
    ProviderNotReadyError,
    ProviderStartError,
)
from openenv.providers import ProcessProvider, Provider, ProviderPool
from openenv.providers.ramp import Ramp

BOUND_S = 30.0


def test_a_lease_is_a_provider_and_an_environment_plays_on_it():
    with ProviderPool(lambda image: ProcessProvider("envs/echo_env"), size=1) as pool:
        for _ in range(2):
            with EchoEnv.with_provider(pool.lease()) as env:
                env.reset()
                assert env.step(EchoAction(message="Hello, World!")).reward == pytest.approx(1.3)
        metrics = pool.metrics()
        assert (metrics.leases, metrics.started, metrics.replaced) == (2, 1, 0)


def test_a_server_with_a_session_that_does_not_end_is_replaced(eventually):
    with ProviderPool(lambda image: ProcessProvider("envs/echo_env"), size=1, clean_timeout_s=0.1) as pool:
        with pool.lease() as lease:
            httpx.post(f"{lease.base_url}/reset", json={}, trust_env=False)  # the old HTTP session has no end
            used = lease.base_url
        assert eventually(lambda: pool.metrics().replaced == 1)
        with pool.lease() as lease:
            assert lease.base_url != used


def test_a_server_is_lent_to_one_at_a_time(pool):
    lent, most, lock = Counter(), Counter(), threading.Lock()
    warm = pool(size=3, lease_timeout_s=BOUND_S)
    warm.wait_warm()

    def use(_):
        with warm.lease() as lease:
            with lock:
                lent[lease.base_url] += 1
                most[lease.base_url] = max(most[lease.base_url], lent[lease.base_url])
            time.sleep(0)
            with lock:
                lent[lease.base_url] -= 1

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(use, range(36)))
    assert set(most.values()) == {1}
    metrics = warm.metrics()
    assert (metrics.leases, metrics.started, metrics.failed, metrics.replaced) == (36, 3, 0, 0)


def test_leases_of_an_event_loop_run_at_once(pool):
    warm = pool(size=2, lease_timeout_s=BOUND_S)

    async def use():
        async with warm.lease() as lease:
            return lease.base_url

    async def main():
        return await asyncio.wait_for(asyncio.gather(*(use() for _ in range(8))), BOUND_S)

    assert len(set(asyncio.run(main()))) <= 2


def test_a_warm_server_is_a_hit(pool):
    warm = pool()
    warm.wait_warm()
    with warm.lease():
        assert warm.metrics().leased == 1
    metrics = warm.metrics()
    assert metrics.hit_rate == 1.0
    assert metrics.leased == 0


def test_the_lease_budget_is_named_when_nothing_comes_free(pool):
    warm = pool(size=1)
    with warm.lease(timeout_s=BOUND_S), pytest.raises(LeaseTimeoutError, match="lease_timeout_s") as caught:
        warm.lease(timeout_s=0.05).start()
    assert "lease budget of 0.05 s" in str(caught.value)
    assert warm.metrics().refused == 1


def test_servers_can_be_for_one_lease_only(pool, eventually):
    warm = pool(size=1, on_return="replace", lease_timeout_s=BOUND_S)
    with warm.lease() as lease:
        first = lease.base_url
    with warm.lease() as lease:
        assert lease.base_url != first
    assert eventually(lambda: warm.metrics().replaced == 2)


def test_a_server_that_died_while_it_waited_is_not_lent(pool, toy):
    made = []

    def make(image):
        made.append(toy())
        return made[-1]

    warm = pool(make=make, size=1, lease_timeout_s=BOUND_S)
    warm.wait_warm()
    os.kill(made[0].pid, signal.SIGKILL)
    with warm.lease() as lease:
        assert lease.base_url == made[1].base_url


def test_idle_servers_are_looked_at(pool, toy, eventually):
    made = []

    def make(image):
        made.append(toy())
        return made[-1]

    warm = pool(make=make, size=1, check_interval_s=0.05)
    warm.wait_warm()
    os.kill(made[0].pid, signal.SIGKILL)
    assert eventually(lambda: warm.metrics().started == 2)
    assert warm.metrics().replaced == 1


def test_a_server_near_the_end_of_its_lifetime_is_replaced(pool, toy, eventually):
    made = []

    def make(image):
        provider = toy()
        provider.lifetime_s = 3600
        made.append(provider)
        return provider

    warm = pool(make=make, size=1, check_interval_s=0.05)
    warm.wait_warm()
    made[0]._ownership = replace(made[0].ownership, expires=int(time.time()) + 30)
    assert eventually(lambda: warm.metrics().started == 2)


def test_a_start_that_fails_is_tried_again_after_a_pause(pool, toy):
    made = []

    def make(image):
        made.append(image)
        return toy("dies") if len(made) == 1 else toy()

    warm = pool(make=make, size=1, lease_timeout_s=BOUND_S)
    with warm.lease():
        metrics = warm.metrics()
    assert (metrics.failed, metrics.started) == (1, 1)


def test_the_last_failure_is_told_when_nothing_comes(pool, eventually):
    warm = pool("dies", size=1)
    assert eventually(lambda: warm.metrics().failed)
    with pytest.raises(LeaseTimeoutError) as caught:
        warm.lease(timeout_s=0.05).start()
    assert "the weights are missing" in str(caught.value)


def test_what_trying_again_does_not_mend_is_told_at_once(pool, toy):
    images = []

    def make(image):
        images.append(image)
        if len(images) == 1:
            raise ImageNotFoundError("no such image")
        return toy()

    warm = pool(make=make, images=["echo"], size=1)
    with pytest.raises(ImageNotFoundError):
        warm.lease(timeout_s=BOUND_S).start()
    with warm.lease(timeout_s=BOUND_S):  # somebody has built it meanwhile
        pass


def test_each_image_has_servers_of_its_own(pool, toy):
    images = []

    def make(image):
        images.append(image)
        return toy()

    warm = pool(make=make, images=["a", "b"], size=1, lease_timeout_s=BOUND_S)
    with warm.lease("a") as a, warm.lease("b") as b:
        assert a.base_url != b.base_url
    assert sorted(images) == ["a", "b"]
    assert warm.metrics("b").leases == 1


def test_stopping_the_pool_stops_its_servers_and_ends_the_waiting(pool, toy, is_gone):
    made = []

    def make(image):
        made.append(toy())
        return made[-1]

    warm = pool(make=make, size=1)
    lease = warm.lease(timeout_s=BOUND_S)
    lease.start()
    waiting = ThreadPoolExecutor(1)
    second = waiting.submit(warm.lease(timeout_s=BOUND_S).start)
    while not warm._shelves[""]._waiting:
        time.sleep(0.001)
    warm.stop()
    with pytest.raises(ProviderError, match="stopped"):
        second.result(BOUND_S)
    waiting.shutdown()
    assert all(is_gone(provider.pid) for provider in made)
    lease.stop()


def test_stopping_does_not_wait_for_servers_that_never_get_ready(toy):
    def make(image):
        provider = toy("mute")
        provider.ready_timeout_s = 600
        return provider

    pool = ProviderPool(make, size=2).start()
    while pool.metrics().starting < 2:
        time.sleep(0.001)
    pool.stop()


def test_stopping_does_not_miss_a_server_that_is_just_about_to_be_started(toy, monkeypatch):
    begun, stopped = threading.Event(), threading.Event()
    stop = Provider.stop

    def stopping(provider):
        stop(provider)
        stopped.set()

    monkeypatch.setattr(Provider, "stop", stopping)

    def make(image):
        provider = toy("mute")
        provider.ready_timeout_s = 600
        start = provider.start

        def starting():
            begun.set()
            assert stopped.wait(BOUND_S)
            return start()

        provider.start = starting
        return provider

    pool = ProviderPool(make, size=1).start()
    assert begun.wait(BOUND_S)
    pool.stop()


def test_it_can_be_started_again(pool):
    warm = pool(size=1, lease_timeout_s=BOUND_S)
    warm.stop()
    with pytest.raises(ConfigurationError, match="does not run"):
        warm.lease().start()
    warm.start()
    with warm.lease():
        pass


def test_waiting_for_warmth_has_an_end(pool):
    with pytest.raises(ProviderNotReadyError, match="timeout_s"):
        pool("mute").wait_warm(timeout_s=0.05)


@pytest.mark.parametrize("options", [{"size": 0}, {"images": "echo"}, {"on_return": "burn"}, {"images": []}])
def test_a_pool_that_makes_no_sense_is_refused(options):
    with pytest.raises(ConfigurationError):
        ProviderPool(lambda image: ProcessProvider(), **options)


def test_the_lent_server_is_asked_when_somebody_asks_the_lease(pool, eventually, toy):
    made = []

    def make(image):
        made.append(toy())
        return made[-1]

    warm = pool(make=make, size=1, lease_timeout_s=BOUND_S)
    with warm.lease() as lease:
        os.kill(made[0].pid, signal.SIGKILL)
        assert eventually(lambda: made[0]._process.exit_code() is not None)
        with pytest.raises(ProviderStartError, match="SIGKILL"):
            lease.check_alive()


class TestRamp:
    def test_it_begins_low_and_rises_with_quick_starts(self):
        ramp = Ramp(8)
        assert ramp.room(0) == 2
        for _ in range(20):
            ramp.succeeded(1.0)
        assert ramp.room(0) == 8

    def test_slow_starts_lower_it(self):
        ramp = Ramp(8)
        for _ in range(4):
            ramp.succeeded(1.0)
        before = ramp.at_once
        ramp.succeeded(5.0)
        assert ramp.at_once == before - 1

    def test_a_failure_halves_it_and_makes_a_pause_that_grows(self):
        ramp = Ramp(8)
        for _ in range(6):
            ramp.succeeded(1.0)
        ramp.failed()
        assert ramp.at_once == 4
        assert ramp.room(0) == 0
        first = ramp.pause_s
        for _ in range(4):
            ramp.failed()
        assert ramp.pause_s > first
        assert ramp.at_once == 1
