"""A lost session is said to be lost, every time, until a reset starts a new one.

Version 2 of the protocol takes a session up again after its connection was cut, version 1 has lost it. The
environments here would take a step without a reset, and write down what they get, so that nothing but the client
keeps a step from an environment that it did not reset.
"""

import asyncio
import threading
from typing import Any

import httpx
import pytest
from tests.servers import BOUND_S, wait_until
from tests.toys import Add, Count, Counter, CounterEnv, Gate, Tally, gated
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as websocket_server

from openenv.client import HTTPEnvClient
from openenv.errors import ConnectionFailedError, EnvironmentFactoryError, SessionError, SessionLost


class CounterHTTP(HTTPEnvClient[Add, Count, Tally]):
    """The HTTP client of the counters."""


def recording() -> tuple[type[Counter], list[list[str]]]:
    """Return an environment that refuses nothing, and what each instance of it was asked to do."""
    lives: list[list[str]] = []

    class Recorder(Counter):
        ALLOWS_STEP_WITHOUT_RESET = True

        def __init__(self) -> None:
            super().__init__()
            self.tally = Tally()
            self.life: list[str] = []
            self.is_new = False
            lives.append(self.life)

        def reset(self, **kwargs: Any) -> Count:
            self.life.append("reset")
            self.is_new = True
            return super().reset(**kwargs)

        def step(self, action: Add) -> Count:
            self.life.append("step")
            return super().step(action)

        @property
        def state(self) -> Tally:
            if not self.is_new:  # else the server looks for the id of the new episode
                self.life.append("state")
            self.is_new = False
            return self.tally

    return Recorder, lives


def assert_lost(env: CounterEnv) -> None:
    """Steps and questions about the state fail, again and again."""
    for _ in range(3):
        with pytest.raises(SessionLost, match="reset") as caught:
            env.step(Add())
        assert isinstance(caught.value, ConnectionError)
        with pytest.raises(SessionLost, match="reset"):
            env.state()


def assert_starts_anew(env: CounterEnv) -> None:
    assert env.reset().observation.total == 0
    assert env.step(Add(amount=2)).observation.total == 2


@pytest.fixture
def recorder(serve_each):
    """A server of a recording environment, and what its instances were asked."""
    environment, lives = recording()
    yield serve_each(environment), lives
    assert all(life[:1] in ([], ["reset"]) for life in lives), f"used without a reset: {lives}"


@pytest.fixture
def old_recorder(serve_old):
    """The same, where a lost connection is a lost session."""
    environment, lives = recording()
    yield serve_old(environment), lives
    assert all(life[:1] in ([], ["reset"]) for life in lives), f"used without a reset: {lives}"


def lose(server, client: CounterEnv) -> None:
    """Cut the connection and wait until the client has noticed."""
    server.cut()
    assert wait_until(lambda: not client._core.link.connected)


def test_a_connection_lost_between_calls_is_told_by_the_next_and_all_others(old_recorder):
    server, lives = old_recorder
    with CounterEnv(server.url) as env:
        env.reset()
        env.step(Add())
        lose(server, env)
        assert_lost(env)
        assert_starts_anew(env)
    assert lives == [["reset", "step"], ["reset", "step"]]


def test_a_connection_lost_unnoticed_is_told_by_the_next_call(old_recorder):
    server, _ = old_recorder
    with CounterEnv(server.url).sync() as env:
        env.reset()
        server.cut()
        assert_lost(env)
        assert_starts_anew(env)


async def test_a_connection_lost_during_a_step_fails_the_step_and_all_others(serve_old):
    gate = Gate()
    server = serve_old(gated(gate, ALLOWS_STEP_WITHOUT_RESET=True))
    async with CounterEnv(server.url) as env:
        await env.reset()
        steps = [asyncio.create_task(env.step(Add(amount=0))) for _ in range(3)]
        await asyncio.to_thread(gate.wait_for, 1)
        await asyncio.to_thread(server.cut)
        for step in steps:
            with pytest.raises(SessionLost, match="was lost"):
                await step
        for call in (lambda: env.step(Add()), env.state) * 2:
            with pytest.raises(SessionLost):
                await call()
        gate.open()
        assert (await env.reset()).observation.total == 0


async def test_a_connection_lost_on_a_bare_client_is_told_in_both_ways(old_recorder):
    server, _ = old_recorder
    client = CounterEnv(server.url)
    await client.reset()
    await asyncio.to_thread(lose, server, client)
    for _ in range(2):
        with pytest.raises(SessionLost):
            await client.step(Add())
    assert (await client.reset()).observation.total == 0
    await client.close()


@pytest.mark.parametrize("cls", [CounterEnv, CounterHTTP])
def test_after_close_a_step_fails_and_a_reset_starts_anew(recorder, cls):
    server, lives = recorder
    env = cls(server.url)
    env.reset()
    env.close()
    assert_lost(env)
    env.close()
    assert_lost(env)
    assert_starts_anew(env)
    env.close()
    assert lives == [["reset"], ["reset", "step"]]


async def test_after_an_async_with_a_step_fails_and_a_reset_starts_anew(recorder):
    server, _ = recorder
    async with CounterEnv(server.url) as env:
        await env.reset()
    with pytest.raises(SessionLost):
        await env.step(Add())
    assert (await env.reset()).observation.total == 0
    await env.close()


def test_closing_ends_the_session_on_the_server(serve_each):
    server = serve_each(Counter)
    for cls in (CounterEnv, CounterHTTP):
        with cls(server.url) as env:
            env.reset()
            assert env.capacity().active_sessions == 1
        assert wait_until(lambda: server.manager.capacity().active_sessions == 0)


def test_a_server_that_has_ended_loses_the_session_and_then_cannot_be_reached(serve_old):
    server = serve_old(Counter)
    with CounterEnv(server.url) as env:
        env.reset()
        server.stop()
        assert wait_until(lambda: not env._core.link.connected)
        for _ in range(2):
            with pytest.raises(SessionLost, match="reset"):
                env.step(Add())
            with pytest.raises(ConnectionFailedError, match="Is the server running there"):
                env.reset()
        with pytest.raises(ConnectionFailedError):
            env.metadata()


def test_a_failed_reset_after_a_loss_does_not_make_the_session_good_again(serve_old):
    environment, lives = recording()
    server = serve_old(environment)
    with CounterEnv(server.url) as env:
        env.reset()
        server.stop()
        assert wait_until(lambda: not env._core.link.connected)
        with pytest.raises(ConnectionFailedError):
            env.reset()
        env._core.base_url = serve_old(environment).url  # as if it had come back
        with pytest.raises(SessionLost):
            env.step(Add())
        assert_starts_anew(env)
    assert lives == [["reset"], ["reset", "step"]]


def test_a_session_that_the_server_has_ended_tells_why(serve_each):
    server = serve_each(Counter)
    with CounterEnv(server.url) as env:
        env.reset()
        session = next(iter(server.manager._sessions.values()))
        server.on_loop(lambda: session.end(SessionLost("The session had no request for 9 s (idle budget)")))
        assert wait_until(lambda: not env._core.link.connected)
        for _ in range(2):
            with pytest.raises(SessionLost, match="no request for 9 s"):
                env.step(Add())
        assert_starts_anew(env)


# --- over HTTP ----------------------------------------------------------------------------------


def test_an_http_session_that_is_gone_is_lost_until_reset(recorder):
    server, _ = recorder
    with CounterHTTP(server.url) as env:
        env.reset()
        httpx.delete(server.url + env._core.link._session, trust_env=False).raise_for_status()
        assert_lost(env)
        assert_starts_anew(env)


def test_a_connection_lost_during_an_http_step_loses_the_session(serve):
    gate = Gate()
    server = serve(gated(gate))
    with CounterHTTP(server.url) as env:
        env.reset()

        def cut() -> None:
            gate.wait_for(1)
            server.cut()
            gate.open()

        cutting = threading.Thread(target=cut)
        cutting.start()
        with pytest.raises(SessionLost, match="reset"):
            env.step(Add(amount=0))
        cutting.join(BOUND_S)
        assert_lost(env)
        assert_starts_anew(env)


def test_an_http_server_that_has_ended_loses_the_session_and_then_cannot_be_reached(host):
    server = host.serve(Counter)
    with CounterHTTP(server.url) as env:
        env.reset()
        server.stop()
        for _ in range(2):
            with pytest.raises(SessionLost, match="reset"):
                env.step(Add())
        with pytest.raises(ConnectionFailedError):
            env.reset()


def test_a_session_that_never_was_is_no_lost_session():
    with pytest.raises(ConnectionFailedError) as caught:
        CounterEnv("http://127.0.0.1:9").state()
    assert not isinstance(caught.value, SessionError)


async def test_whoever_asks_again_before_a_server_that_has_refused_closes_is_told_why_too():
    """A server of version 1 whose environment can not be made says so, and then closes."""

    async def refuse(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send('{"type":"error","data":{"message":"no board","code":"FACTORY_ERROR"}}')
        await connection.recv()
        await connection.close()

    async with websocket_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with CounterEnv(f"http://127.0.0.1:{port}") as env:
            for _ in range(2):
                with pytest.raises(EnvironmentFactoryError, match="no board"):
                    await env.reset()
