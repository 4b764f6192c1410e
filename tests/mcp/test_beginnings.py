"""Who begins an episode: the first call of a tool, and never where a trainer has begun one, or is about to."""

import asyncio
import json
import threading
from typing import Any

import httpx
import websockets
from tests.mcp.wire import call, initialized, message, post
from tests.servers import Server, wait_until
from tests.sessions.wire import Remote, Wire

from openenv.mcp import MCPEnvironment, tool
from openenv.models import Observation, State


class Seeded(MCPEnvironment):
    """Tells its seed, and which of its episodes this is; a test may hold up what it does."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    resets = 0
    held: threading.Event | None = None

    def reset(self, seed: int | None = None) -> Observation:
        type(self).resets += 1
        self.seed = seed
        if seed == -1:
            self._wait()
        return Observation(metadata={"answer": 42})

    @tool
    def seed_is(self) -> Any:
        return self.seed

    @tool
    def wait(self) -> None:
        self._wait()

    async def list_tools(self) -> Any:
        if self.held is not None:
            await asyncio.to_thread(self._wait)
        return await super().list_tools()

    def _wait(self) -> None:
        assert self.held is not None
        self.held.wait(30)

    @property
    def state(self) -> State:
        return State(episode_id="an id of its own")


async def test_a_call_behind_a_reset_that_its_trainer_does_not_wait_for_is_in_that_episode(serve):
    server: Server = serve(Seeded)
    before = Seeded.resets
    async with websockets.connect(f"{server.url.replace('http', 'ws')}/ws", proxy=None) as trainer:
        await trainer.send(json.dumps({"type": "reset", "data": {"seed": 7}}))
        asked = message("tools/call", name="seed_is", arguments={})
        await trainer.send(json.dumps({"type": "mcp", "data": asked}))
        assert json.loads(await trainer.recv())["type"] == "observation"
        answer = json.loads(await trainer.recv())
    assert answer["data"]["result"]["data"] == 7
    assert Seeded.resets == before + 1


async def test_calls_sent_together_begin_one_episode(serve):
    server: Server = serve(Seeded)
    before = Seeded.resets
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        session = await initialized(http)
        calls = [call(http, session, "seed_is", number) for number in range(5)]
        assert all(not answer["result"]["isError"] for answer in await asyncio.gather(*calls))
    assert Seeded.resets == before + 1


def test_a_trainer_that_attaches_to_a_session_begins_its_episodes_itself(serve):
    server: Server = serve(Seeded)
    with httpx.Client(base_url=server.url, timeout=30) as http, Wire(server.url) as wire:

        def ask(method: str, **params: Any) -> Any:
            return http.post("/mcp", json=message(method, **params)).json()

        opened = ask("openenv/session/create")["result"]["session_id"]
        assert ask("ping", session_id=opened)["result"] == {}
        wire.ask("hello", version=2)
        trainer = Remote(wire, opened, server.manager.get(opened).token)
        trainer.resume(wire)
        called = message("tools/call", name="seed_is", arguments={})
        assert wire.ask("mcp", session=opened, data=called)["data"]["error"]["data"]["code"] == "NOT_RESET"
        trainer.reset(seed=3)
        assert wire.ask("mcp", session=opened, data=called)["data"]["result"]["data"] == 3


async def test_a_client_that_has_read_the_state_can_go_on_after_it_cancelled_a_call(serve):
    server: Server = serve(Seeded)
    Seeded.held = threading.Event()
    try:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
            session = await initialized(http)
            await call(http, session, "seed_is")
            await post(http, session, "resources/read", uri="openenv://state")
            hanging = asyncio.create_task(call(http, session, "wait", 9))
            assert await asyncio.to_thread(wait_until, lambda: server.manager.get(session).busy)
            await post(http, session, "notifications/cancelled", requestId=9)
            assert (await hanging)["error"]["data"]["code"] == "CANCELLED"
            assert not (await call(http, session, "seed_is", 10))["result"]["isError"]
    finally:
        Seeded.held.set()
        Seeded.held = None


async def test_to_cancel_what_only_reads_costs_no_episode(serve):
    server: Server = serve(Seeded)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        session = await initialized(http)
        await call(http, session, "seed_is")
        before = Seeded.resets
        Seeded.held = threading.Event()
        try:
            listing = asyncio.create_task(post(http, session, "tools/list", 9))
            assert await asyncio.to_thread(wait_until, lambda: server.manager.get(session).busy)
            await post(http, session, "notifications/cancelled", requestId=9)
        finally:
            Seeded.held.set()
            Seeded.held = None
        assert (await listing).json()["result"]["tools"]
        assert not (await call(http, session, "seed_is", 10))["result"]["isError"]
    assert Seeded.resets == before


async def test_a_session_whose_first_reset_took_too_long_can_begin_again(serve):
    from openenv.server.budgets import Budgets

    class Slow(Seeded):
        async def reset(self, seed: int | None = None) -> Observation:
            type(self).resets += 1
            self.seed = seed
            if type(self).resets == 1:
                await asyncio.Event().wait()
            return Observation()

    server: Server = serve(Slow, budgets=Budgets(reset=0.2))
    Slow.resets = 0
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        session = await initialized(http)
        assert (await call(http, session, "seed_is"))["result"]["isError"]
        again = (await call(http, session, "seed_is"))["result"]
    assert not again["isError"], again


async def test_metadata_of_an_observation_is_not_for_agents_in_production(serve):
    server: Server = serve(Seeded, mode="production")
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        session = await initialized(http)
        read = await post(http, session, "resources/read", uri="openenv://observation")
        called = await call(http, await initialized(http), "seed_is")
    assert "answer" not in read.text
    assert "answer" not in json.dumps(called)
