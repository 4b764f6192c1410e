"""A pool lends sessions on several servers; a lease is of nobody else, and ends with its block."""

import asyncio
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import pytest
from tests.servers import wait_until
from tests.toys import Add, Count, CounterEnv, InlineCounter, Tally

from openenv.client import EnvPool, GenericEnvClient, HTTPEnvClient, members
from openenv.client.pool import PoolMetrics
from openenv.errors import ConfigurationError, OpenEnvError, ProviderStartError, SessionCapacityError, SessionLost
from openenv.outcomes import Cause
from openenv.providers import Provider
from openenv.server.app import create_app

NOBODY = "http://127.0.0.1:9"


class CounterHTTP(HTTPEnvClient[Add, Count, Tally]):
    """The HTTP client of the counters."""


class Capacity:
    """An application that answers `/capacity` with a status of its own."""

    def __init__(self, application: Any, answers: int | None) -> None:
        self.application, self.state, self.answers = application, application.state, answers

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if self.answers is None or scope.get("path") != "/capacity":
            await self.application(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.answers, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def settled(pool: EnvPool) -> PoolMetrics:
    """Return the metrics when no session is on its way back."""
    while any(server.leased for server in pool.metrics.servers):
        await asyncio.sleep(0.001)
    return pool.metrics


def active(server: Any) -> int:
    return server.manager.capacity().active_sessions


# --- leases ---------------------------------------------------------------------------------------


async def test_a_lease_gives_a_client_with_a_session(serve):
    server = serve(InlineCounter)
    async with EnvPool(CounterEnv, [server.url]) as pool, pool.lease() as env:
        assert isinstance(env, CounterEnv)
        assert (await env.reset()).observation.total == 0
        assert (await env.step(Add(amount=3))).observation.total == 3
        assert (await env.state()).total == 3
    assert wait_until(lambda: active(server) == 0)


def test_in_blocking_code(serve):
    server = serve(InlineCounter)
    with EnvPool(CounterEnv, [server.url]) as pool:
        with pool.lease() as env:
            assert env.reset().observation.total == 0
            assert env.step(Add(amount=3)).observation.total == 3
        with pool.lease() as env:
            assert env.reset().observation.total == 0
        assert pool.metrics.leases == 2
    assert wait_until(lambda: active(server) == 0)


def test_a_pool_that_is_not_entered_is_closed_by_hand(serve):
    server = serve(InlineCounter)
    pool = EnvPool(CounterEnv, [server.url])
    with pool.lease() as env:
        env.reset()
    pool.close()
    assert wait_until(lambda: active(server) == 0)


async def test_a_pool_that_is_not_entered_lends_in_async_code(serve):
    pool = EnvPool(CounterEnv, [serve(InlineCounter).url])
    async with pool.lease() as env:
        assert (await env.reset()).observation.total == 0
    await pool.close()


async def test_a_session_is_lent_again_reset(serve):
    server = serve(InlineCounter)
    async with EnvPool(CounterEnv, [server.url]) as pool:
        for _ in range(3):
            async with pool.lease() as env:
                await env.reset()
                await env.step(Add(amount=5))
            await settled(pool)
            [session] = server.manager.sessions()
            assert session.episode.steps == 0
        assert (pool.metrics.hits, pool.metrics.hit_rate) == (2, pytest.approx(2 / 3))


async def test_the_client_of_a_lease_that_is_over_can_do_nothing_to_the_next(serve):
    async with EnvPool(CounterEnv, [serve(InlineCounter).url]) as pool:
        async with pool.lease() as earlier:
            await earlier.reset()
        await settled(pool)
        async with pool.lease() as env:
            await env.reset()
            for _ in range(2):
                with pytest.raises(SessionLost, match="lease"):
                    await earlier.step(Add(amount=1))
            assert (await env.step(Add(amount=2))).observation.total == 2


async def test_without_reuse_each_lease_has_a_session_of_its_own(serve):
    server = serve(InlineCounter)
    async with EnvPool(CounterEnv, [server.url], reuse=False) as pool:
        for _ in range(2):
            async with pool.lease() as env:
                await env.reset()
            await settled(pool)
            assert wait_until(lambda: active(server) == 0)
        assert pool.metrics.hits == 0


async def test_a_session_that_can_not_be_reset_is_not_lent_again(serve):
    class Once(InlineCounter):
        resets = 0

        def reset(self, **kwargs: Any) -> Count:
            self.resets += 1
            if self.resets == 2:
                raise RuntimeError("used up")
            return super().reset()

    async with EnvPool(CounterEnv, [serve(Once).url]) as pool:
        for _ in range(2):
            async with pool.lease() as env:
                await env.reset()
            assert (await settled(pool)).servers[0].idle == 0
        assert (pool.metrics.leases, pool.metrics.hits) == (2, 0)


async def test_a_session_that_was_lost_is_not_lent_again(serve):
    server = serve(InlineCounter)
    async with EnvPool(CounterEnv, [server.url]) as pool:
        async with pool.lease() as env:
            await env.reset()
            server.on_loop(server.manager.sessions()[0].end)
            with pytest.raises(SessionLost):
                await env.step(Add())
        assert (await settled(pool)).servers[0].idle == 0
        async with pool.lease() as env:
            assert (await env.reset()).observation.total == 0


async def test_an_idle_session_that_ended_meanwhile_is_passed_over(serve):
    server = serve(InlineCounter)
    async with EnvPool(CounterEnv, [server.url]) as pool:
        async with pool.lease() as env:
            await env.reset()
        await settled(pool)
        [idle] = pool._lender._members[0].idle
        server.on_loop(server.manager.sessions()[0].end)
        while idle.connected:
            await asyncio.sleep(0.001)
        async with pool.lease() as env:
            assert (await env.reset()).observation.total == 0
        assert pool.metrics.hits == 0


async def test_an_error_in_the_block_gives_the_session_back(serve):
    async with EnvPool(CounterEnv, [serve(InlineCounter).url]) as pool:
        with pytest.raises(LookupError):
            async with pool.lease():
                raise LookupError
        assert (await settled(pool)).servers[0].idle == 1


@pytest.mark.parametrize("client_class", [GenericEnvClient, CounterHTTP], ids=lambda cls: cls.__name__)
async def test_any_class_of_clients_can_be_lent(serve, client_class):
    async with EnvPool(client_class, [serve(InlineCounter).url]) as pool:
        for _ in range(2):
            async with pool.lease() as env:
                await env.reset()
            await settled(pool)
        assert pool.metrics.hits == 1


async def test_a_server_of_version_1_lends_sessions_too(serve_old):
    async with EnvPool(CounterEnv, [serve_old(InlineCounter).url]) as pool:
        for _ in range(2):
            async with pool.lease() as env:
                assert (await env.reset()).observation.total == 0
            await settled(pool)
        assert pool.metrics.hits == 1


# --- which server ---------------------------------------------------------------------------------


async def test_new_sessions_go_where_there_is_most_room(serve):
    small, large = serve(InlineCounter, max_concurrent_envs=2), serve(InlineCounter, max_concurrent_envs=4)
    async with EnvPool(CounterEnv, [small.url, large.url]) as pool, AsyncExitStack() as leases:
        taken = []
        for _ in range(6):
            await leases.enter_async_context(pool.lease())
            taken.append((active(small), active(large)))
        assert taken == [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (2, 4)]


async def test_what_others_hold_is_counted(serve):
    ours, theirs = serve(InlineCounter, max_concurrent_envs=3), serve(InlineCounter, max_concurrent_envs=4)
    async with AsyncExitStack() as others:
        for _ in range(3):
            await others.enter_async_context(CounterEnv(theirs.url))
        async with EnvPool(CounterEnv, [theirs.url, ours.url]) as pool, pool.lease() as env:
            assert env.base_url == ours.url


async def test_a_session_that_is_there_already_is_preferred(serve):
    small, large = serve(InlineCounter, max_concurrent_envs=1), serve(InlineCounter, max_concurrent_envs=9)
    async with EnvPool(CounterEnv, [small.url, large.url]) as pool:
        for _ in range(3):
            async with pool.lease() as env:
                assert env.base_url == large.url
            await settled(pool)
        assert (active(large), active(small)) == (1, 0)


async def test_a_server_that_refuses_is_left_out(serve):
    server = serve(InlineCounter)
    async with EnvPool(CounterEnv, [NOBODY, server.url]) as pool:
        for _ in range(3):
            async with pool.lease() as env:
                assert env.base_url == server.url
        down = pool.metrics.servers[0]
        assert down.url == NOBODY
        assert NOBODY in down.down


async def test_a_server_that_dies_during_a_lease_is_left_out(serve):
    dying, other = serve(InlineCounter, max_concurrent_envs=9), serve(InlineCounter, max_concurrent_envs=2)
    async with EnvPool(CounterEnv, [dying.url, other.url]) as pool:
        async with pool.lease() as env:
            assert env.base_url == dying.url
            await env.reset()
            for session in dying.manager.sessions():
                dying.on_loop(session.end)
            await asyncio.to_thread(dying.stop)
            with pytest.raises(SessionLost):
                await env.step(Add())
        await settled(pool)
        async with pool.lease() as env:
            assert env.base_url == other.url
        assert pool.metrics.servers[0].down is not None


async def test_a_server_that_is_well_again_is_taken_up_again(host, serve, monkeypatch):
    monkeypatch.setattr(members, "FIRST_PAUSE_S", 0.01)
    moody = Capacity(create_app(InlineCounter, max_concurrent_envs=9), answers=503)
    server, other = host.run(moody), serve(InlineCounter, max_concurrent_envs=1)
    async with EnvPool(CounterEnv, [server.url, other.url]) as pool:
        async with pool.lease() as env:
            assert env.base_url == other.url
            assert "503" in pool.metrics.servers[0].down
            moody.answers = None
            async with pool.lease() as env:  # waits, for the other server has no more room
                assert env.base_url == server.url
        assert pool.metrics.servers[0].down is None
    server.stop()


async def test_a_server_without_figures_is_used_until_it_refuses(host):
    server = host.run(Capacity(create_app(InlineCounter, max_concurrent_envs=2), answers=404))
    async with EnvPool(CounterEnv, [server.url]) as pool, AsyncExitStack() as leases:
        for _ in range(2):
            env = await leases.enter_async_context(pool.lease())
            await env.reset()
        assert pool.metrics.servers[0].free is None
        with pytest.raises(SessionCapacityError):
            await leases.enter_async_context(pool.lease(wait_s=0.1))
    server.stop()


# --- waiting --------------------------------------------------------------------------------------


async def test_a_lease_waits_for_one_that_comes_back(serve):
    async with EnvPool(CounterEnv, [serve(InlineCounter, max_concurrent_envs=1).url]) as pool:
        order = []

        async def use(name: str) -> None:
            async with pool.lease() as env:
                order.append(name)
                await env.reset()
                assert (await env.step(Add(amount=1))).observation.total == 1

        async with asyncio.TaskGroup() as tasks:
            for name in "abcd":
                tasks.create_task(use(name))
        assert order == ["a", "b", "c", "d"]
        assert (pool.metrics.leases, pool.metrics.waits, pool.metrics.hits) == (4, 3, 3)
        assert pool.metrics.waited_s > 0


async def test_no_free_session_in_time_says_how_the_servers_stand(serve):
    server = serve(InlineCounter, max_concurrent_envs=1)
    async with EnvPool(CounterEnv, [server.url, NOBODY]) as pool, pool.lease():
        while pool.metrics.servers[1].down is None:
            await asyncio.sleep(0.001)
        with pytest.raises(SessionCapacityError) as caught:
            async with pool.lease(wait_s=0.1):
                pass
        message = str(caught.value)
        assert "within 0.1 s" in message
        assert f"{server.url} has 0 free, 1 leased by this pool" in message
        assert f"{NOBODY} is left out for a while" in message
        assert caught.value.outcome.cause is Cause.CAPACITY
        assert pool.metrics.refused == 1


def test_blocking_leases_wait_no_longer_than_they_are_told(serve):
    server = serve(InlineCounter, max_concurrent_envs=1)
    with EnvPool(CounterEnv, [server.url]) as pool, ExitStack() as leases:
        leases.enter_context(pool.lease())
        with pytest.raises(SessionCapacityError, match=r"0\.05 s"):
            leases.enter_context(pool.lease(wait_s=0.05))


async def test_whoever_gives_up_waiting_leaves_the_place_to_the_next(serve):
    async with EnvPool(CounterEnv, [serve(InlineCounter, max_concurrent_envs=1).url]) as pool:
        async with pool.lease():
            impatient = asyncio.create_task(pool.lease().__aenter__())
            patient = asyncio.create_task(pool.lease().__aenter__())
            await asyncio.sleep(0)
            impatient.cancel()
            await asyncio.gather(impatient, return_exceptions=True)
        env = await patient
        assert (await env.reset()).observation.total == 0


async def test_being_cancelled_while_connecting_leaves_no_session(serve):
    server = serve(InlineCounter)
    async with EnvPool(CounterEnv, [server.url]) as pool:
        taking = asyncio.create_task(pool.lease().__aenter__())
        while not pool._lender._out:
            await asyncio.sleep(0)
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        assert (await settled(pool)).active == 0
        assert wait_until(lambda: active(server) == 0)


# --- closing --------------------------------------------------------------------------------------


async def test_closing_ends_leases_that_are_out_and_those_who_wait(serve):
    server = serve(InlineCounter, max_concurrent_envs=1)
    pool = await EnvPool(CounterEnv, [server.url])
    lease = pool.lease()
    env = await lease.__aenter__()
    await env.reset()
    waiting = asyncio.create_task(pool.lease().__aenter__())
    await asyncio.sleep(0)
    await pool.close()
    assert wait_until(lambda: active(server) == 0)
    with pytest.raises(OpenEnvError, match="closed"):
        await waiting
    with pytest.raises(SessionLost, match="closed"):
        await env.step(Add())
    await lease.__aexit__(None, None, None)
    with pytest.raises(OpenEnvError, match="closed"):
        await pool.lease().__aenter__()


def test_a_pool_needs_servers():
    for nothing in ({}, {"urls": []}, {"urls": NOBODY}):
        with pytest.raises(ConfigurationError, match="list of urls"):
            EnvPool(CounterEnv, **nothing)


def test_wrong_options_are_told_when_the_pool_is_made():
    with pytest.raises(ConfigurationError, match="mode"):
        EnvPool(CounterEnv, [NOBODY], mode="none such")


# --- providers ------------------------------------------------------------------------------------


class ServersHere(Provider):
    """Starts servers in the test's own process."""

    def __init__(self, serve: Any, replicas: int = 1, fails: bool = False) -> None:
        self._serve = serve
        self.replicas = replicas
        self._fails = fails
        self.stopped = 0

    def launch(self, source: Any) -> list[str]:
        if self._fails:
            raise RuntimeError("no machine")
        return [self._serve(InlineCounter, max_concurrent_envs=1).url for _ in range(self.replicas)]

    def shutdown(self) -> None:
        self.stopped += 1


async def test_providers_start_servers_and_closing_stops_them(serve):
    providers = [ServersHere(serve), ServersHere(serve, replicas=2)]
    async with EnvPool(CounterEnv, providers=providers) as pool, AsyncExitStack() as leases:
        clients = [await leases.enter_async_context(pool.lease()) for _ in range(3)]
        assert len({client.base_url for client in clients}) == 3
    assert [provider.stopped for provider in providers] == [1, 1]


async def test_a_provider_that_runs_for_somebody_else_goes_on_when_it_is_refused(serve):
    theirs, ours = ServersHere(serve), ServersHere(serve)
    with theirs:
        with pytest.raises(ProviderStartError, match="running already"):
            async with EnvPool(CounterEnv, providers=[theirs, ours]):
                pass
        assert (theirs.stopped, ours.stopped) == (0, 1)


async def test_a_provider_that_fails_stops_the_others(serve):
    good, bad = ServersHere(serve), ServersHere(serve, fails=True)
    with pytest.raises(Exception, match="no machine"):
        async with EnvPool(CounterEnv, providers=[good, bad]):
            pass
    assert good.stopped == 1
