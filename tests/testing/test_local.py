"""A server inside the test's own process: what a client of a real one sees, without a socket."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.testing.counting import Add, Alone, Async, Count, Counting

from openenv.client import EnvClient, GenericEnvClient
from openenv.errors import ConfigurationError, InvalidRequestError, SessionCapacityError, SessionLost
from openenv.models import State
from openenv.testing import LocalServer
from openenv.testing.local import LocalLink


class CountingEnv(EnvClient[Add, Count, State]):
    """With a method of its own, which is still there."""

    async def twice(self, action: Add) -> float:
        await self.step(action)
        return (await self.step(action)).observation.total


def serve(environment: object, play: Callable[[LocalServer], Awaitable[None]], **options: object) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), LocalServer(environment, **options) as server:
            await play(server)

    asyncio.run(main())


def test_a_client_of_any_class_can_be_used():
    async def play(server: LocalServer) -> None:
        async with server.client(CountingEnv) as env:
            await env.reset()
            assert await env.twice(Add(amount=2)) == 4
        async with server.client(GenericEnvClient) as env:
            await env.reset()
            assert (await env.step({"amount": 3})).observation["total"] == 3
        async with server.client() as env:
            assert isinstance((await env.reset()).observation, Count)

    serve(Counting, play)


def test_a_new_session_is_one_on_the_same_server():
    async def play(server: LocalServer) -> None:
        async with server.client() as first, first.new_session() as second:
            await first.reset()
            await first.step(Add(amount=1))
            await second.reset()
            assert ((await first.state()).step_count, (await second.state()).step_count) == (1, 0)
            assert server.manager.capacity().active_sessions == 2

    serve(Counting, play)


def test_a_server_without_room_says_so_and_takes_the_client_later():
    async def play(server: LocalServer) -> None:
        second = await server.client().connect()
        async with server.client() as first:
            await second.reset()
            with pytest.raises(SessionCapacityError):
                await first.reset()
            await second.close()
            await first.reset()

    serve(Alone, play)


def test_a_session_that_the_server_ends_is_lost():
    async def play(server: LocalServer) -> None:
        async with server.client() as env:
            await env.reset()
            await server.close()
            with pytest.raises(SessionLost, match="shutting down"):
                await env.step(Add(amount=1))

    serve(Counting, play)


def test_a_reply_that_nobody_waits_for_any_more_is_dropped():
    going = asyncio.Event()

    class Slow(Async):
        async def step(self, action: Add) -> Count:
            await going.wait()
            return await super().step(action)

    async def play(server: LocalServer) -> None:
        link = LocalLink(server)
        await link.connect()
        await link.request("reset", b"{}")
        late = asyncio.create_task(link.request("step", b'{"amount": 1}'))
        await asyncio.sleep(0)
        late.cancel()
        state = asyncio.create_task(link.request("state"))
        await asyncio.sleep(0)
        going.set()
        assert b'"type":"state"' in (await state).raw
        assert link.late_replies == 1
        await link.close()

    serve(Slow, play)


def test_any_frame_can_be_sent_and_is_answered():
    async def play(server: LocalServer) -> None:
        link = LocalLink(server)
        await link.connect()
        for frame in ("5", "null", "{", '{"type": "step", "data": 5}'):
            assert b'"type":"error"' in await link.send(frame)
        assert b'"type":"observation"' in (await link.request("reset", b"{}")).raw
        await link.close()
        with pytest.raises(SessionLost):
            await link.request("state")

    serve(Counting, play)


def test_strict_servers_refuse_what_the_environment_does_not_take():
    async def play(server: LocalServer) -> None:
        async with server.client() as env:
            with pytest.raises(InvalidRequestError, match="colour"):
                await env.reset(colour="red")

    serve(Counting, play, strict=True)


def test_one_instance_can_be_served():
    environment = Counting()

    async def play(server: LocalServer) -> None:
        async with server.client() as env:
            await env.reset()
            await env.step(Add(amount=2))

    serve(environment, play)
    assert environment.total == 2


def test_a_factory_needs_types():
    def make() -> Counting:
        return Counting()

    async def play(server: LocalServer) -> None:
        async with server.client() as env:
            assert (await env.reset()).observation.total == 0

    with pytest.raises(ConfigurationError, match="factory does not tell its types"):
        LocalServer(make)
    serve(make, play, action=Add, observation=Count)
