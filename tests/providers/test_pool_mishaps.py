"""What goes wrong with a server of a pool, or with somebody who waits for one, costs the pool no server."""

import asyncio
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import DEFAULT, Mock

import pytest

from openenv.errors import ConfigurationError, LeaseTimeoutError, ProviderError, ProviderStartError
from openenv.providers import ProviderPool, warm
from openenv.providers.readiness import Probe

BOUND_S = 30.0

FORK = """
import os, signal, sys, threading
from openenv.errors import ConfigurationError
from openenv.providers import Provider, ProviderPool

begun, go_on = threading.Event(), threading.Event()

class Slow(Provider):
    def launch(self, source):
        begun.set()
        go_on.wait()
        return []

    def shutdown(self):
        print("stopped", flush=True)

pool = ProviderPool(lambda image: Slow(), size=1).start()
begun.wait()
if os.fork() == 0:
    signal.alarm(20)
    for refused in (pool.start, pool.lease().start, pool.metrics):
        try:
            refused()
        except ConfigurationError:
            print("refused", flush=True)
    pool.stop()
    sys.exit(7)
print("the fork exited with", os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
go_on.set()
pool.stop()
"""


@pytest.fixture
def warmed(pool, toy):
    """A maker of pools of one server which is warm, and the list of the providers that were made."""

    def make(**options):
        made = []

        def make_one(image):
            made.append(toy())
            return made[-1]

        warmed = pool(make=make_one, **{"size": 1, "lease_timeout_s": BOUND_S, **options})
        warmed.wait_warm()
        return warmed, made

    return make


def waiting(pool):
    return len(pool._shelves[""]._waiting)


def would_not_stop(provider):
    """Let the first attempt to stop it fail."""
    provider.shutdown = Mock(wraps=provider.shutdown, side_effect=[ProviderError("it clings"), DEFAULT])
    return provider


# --- servers that cannot be asked --------------------------------------------------------------------

ERRORS = [RuntimeError("of a third party"), ConfigurationError("no token")]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_lease_gets_another_server_where_one_cannot_be_asked(warmed, error):
    pool, made = warmed()
    made[0].check_alive = Mock(side_effect=error)
    with pool.lease() as lease:
        assert lease.base_url == made[1].base_url


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_an_idle_server_that_cannot_be_asked_is_replaced(warmed, error, eventually):
    pool, made = warmed(check_interval_s=0.05)
    made[0].check_alive = Mock(side_effect=error)
    assert eventually(lambda: pool.metrics().started == 2)
    with pool.lease() as lease:
        assert lease.base_url == made[1].base_url


def test_a_server_that_comes_back_and_cannot_be_asked_is_replaced(warmed, eventually, monkeypatch):
    pool, made = warmed()
    with monkeypatch.context() as broken:
        broken.setattr(Probe, "sessions", Mock(side_effect=RuntimeError("of a third party")))
        with pool.lease():
            pass
        assert eventually(lambda: pool.metrics().replaced == 1)
    with pool.lease() as lease:
        assert lease.base_url == made[1].base_url


def test_a_server_that_cannot_be_asked_from_the_start_is_stopped(pool, toy, is_gone, eventually):
    made = []

    def make(image):
        made.append(toy())
        if len(made) == 1:  # its own wait for it succeeds, then the pool asks
            made[0].headers_for = Mock(side_effect=[{}, RuntimeError("the token has expired")])
        return made[-1]

    with pool(make=make, size=1).lease(timeout_s=BOUND_S) as lease:
        assert lease.base_url == made[1].base_url
    assert made[0].urls == []


def test_a_start_that_wants_the_program_to_exit_is_one_that_failed(pool, toy):
    make = Mock(side_effect=[SystemExit(2), toy()])
    made = pool(make=make, size=1)
    with made.lease(timeout_s=BOUND_S):
        assert made.metrics().failed == 1


def test_ctrl_c_costs_no_server(warmed):
    pool, made = warmed()
    made[0].check_alive = lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a program in the background ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            pool.lease().start()
    finally:
        signal.signal(signal.SIGINT, before)
    del made[0].check_alive
    with pool.lease() as lease:
        assert lease.base_url == made[0].base_url


def test_a_server_comes_back_also_where_no_thread_can_be_started(warmed, monkeypatch):
    pool, made = warmed()
    lease = pool.lease()
    lease.start()
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread")))
        lease.stop()
    with pool.lease() as lease:
        assert lease.base_url == made[0].base_url


def test_a_pool_that_no_thread_could_be_started_for_can_be_started_again(toy, monkeypatch):
    pool = ProviderPool(lambda image: toy(), size=1, lease_timeout_s=BOUND_S)
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread")))
        with pytest.raises(RuntimeError):
            pool.start()
    with pool, pool.lease():
        pass


# --- servers that would not stop ---------------------------------------------------------------------


def test_stopping_the_pool_again_stops_what_would_not_stop(warmed, is_gone):
    pool, made = warmed()
    process = would_not_stop(made[0]).pid
    with pytest.raises(ProviderError, match="it clings"):
        pool.stop()
    pool.stop()
    assert is_gone(process)


def test_what_would_not_stop_is_not_forgotten_when_the_pool_is_started_again(warmed, is_gone):
    pool, made = warmed()
    process = would_not_stop(made[0]).pid
    with pytest.raises(ProviderError, match="it clings"):
        pool.stop()
    with pool, pool.lease() as lease:
        assert lease.base_url == made[1].base_url
    assert is_gone(process)


def test_a_server_that_would_not_stop_is_told_and_stopped_once_more(warmed, is_gone, eventually, caplog):
    pool, made = warmed(on_return="replace", check_interval_s=0.05)
    process = would_not_stop(made[0]).pid
    with pool.lease():
        pass
    assert eventually(lambda: is_gone(process))
    assert "could not be stopped: it clings" in caplog.text


def test_stopping_the_pool_stops_a_server_that_would_not_stop_when_it_was_replaced(warmed, is_gone, eventually):
    pool, made = warmed(on_return="replace", check_interval_s=BOUND_S)
    process = would_not_stop(made[0]).pid
    with pool.lease():
        pass
    assert eventually(lambda: made[0].shutdown.called)
    pool.stop()
    assert is_gone(process)


def test_a_server_that_neither_gets_ready_nor_stops_is_stopped_with_the_pool(pool, toy, eventually):
    made = []

    def make(image):
        made.append(would_not_stop(toy("mute")))
        made[-1].ready_timeout_s = 0.01
        return made[-1]

    failing = pool(make=make, size=1, check_interval_s=BOUND_S)
    assert eventually(lambda: failing.metrics().failed)
    assert made[0].urls
    failing.stop()
    assert not any(provider.urls for provider in made)


# --- servers that hang, and leases that do not want to wait any longer -----------------------------------


def test_a_server_that_hangs_keeps_no_lease_from_a_healthy_one(warmed):
    pool, made = warmed(size=2)
    asked, answer = threading.Event(), threading.Event()

    def hang():
        asked.set()
        answer.wait(BOUND_S)

    first = pool._shelves[""]._idle[0].provider
    first.check_alive = hang
    with pool.lease() as lease:
        assert asked.wait(BOUND_S)
        assert lease.base_url == next(provider.base_url for provider in made if provider is not first)
        answer.set()


def test_a_lease_is_over_in_time_though_a_server_hangs(warmed):
    pool, made = warmed()
    answer = threading.Event()
    made[0].check_alive = lambda: answer.wait(BOUND_S)
    with pytest.raises(LeaseTimeoutError):
        pool.lease(timeout_s=0.05).start()
    answer.set()
    with pool.lease() as lease:  # it was asked on, and is as healthy as before
        assert lease.base_url == made[0].base_url


def test_a_warm_server_is_had_without_any_waiting(warmed, monkeypatch):
    monkeypatch.setattr(warm, "LEAST_WAIT_S", BOUND_S)
    pool, _ = warmed()
    with pool.lease(timeout_s=0):
        assert pool.metrics().hits == 1


def test_who_comes_first_is_served_first(warmed, eventually):
    pool, _ = warmed()
    served = []

    def use(name):
        with pool.lease():
            served.append(name)

    with ThreadPoolExecutor(3) as threads, pool.lease():
        for name in range(3):
            threads.submit(use, name)
            assert eventually(lambda: waiting(pool) == name + 1)
    assert served == [0, 1, 2]


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_lease_that_is_cancelled_while_it_waits_does_not_wait_any_longer(warmed, has_begun):
    pool, _ = warmed()

    async def main():
        async with pool.lease():
            starting = asyncio.create_task(pool.lease().astart())
            await asyncio.sleep(0)
            while has_begun and not waiting(pool):
                await asyncio.sleep(0.001)
            starting.cancel()
            await asyncio.wait([starting])
            assert starting.cancelled()

    asyncio.run(main())
    assert pool.metrics().refused == 0  # it would be one if the budget had been waited for
    assert waiting(pool) == 0


def test_a_lease_that_is_cancelled_as_it_gets_a_server_gives_it_back(warmed):
    pool, made = warmed()
    taken, go_on = threading.Event(), threading.Event()

    async def main():
        lease = pool.lease()
        launch = lease.launch

        def launching(source):
            urls = launch(source)
            taken.set()
            go_on.wait(BOUND_S)
            return urls

        lease.launch = launching
        starting = asyncio.create_task(lease.astart())
        while not taken.is_set():
            await asyncio.sleep(0.001)
        starting.cancel()
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait([starting])

    asyncio.run(main())
    assert pool.metrics().leased == 0
    with pool.lease() as lease:
        assert lease.base_url == made[0].base_url


def test_a_lease_that_waits_can_be_stopped_and_started_again(warmed, eventually):
    pool, made = warmed()
    lease = pool.lease()
    with ThreadPoolExecutor(1) as thread, pool.lease():
        starting = thread.submit(lease.start)
        assert eventually(lambda: waiting(pool))
        lease.stop()
        with pytest.raises(ProviderStartError, match="stopped while it waited"):
            starting.result(BOUND_S)
    with lease:
        assert lease.base_url == made[0].base_url


# --- forks -------------------------------------------------------------------------------------------


def test_a_fork_of_the_program_neither_uses_nor_stops_its_pool():
    program = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60)
    assert program.stdout.splitlines() == [*3 * ["refused"], "the fork exited with 7", "stopped"], program.stderr
