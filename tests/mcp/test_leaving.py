"""What is left of a client, a stream or a session that has gone: nothing."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator

import httpx
import pytest
import websockets
from tests.mcp.shops import Shop
from tests.mcp.wire import HEADERS, call, initialize, initialized, message, post
from tests.servers import Server, wait_until

from openenv.client.generic import GenericEnvClient
from openenv.errors import EpisodeEndedError
from openenv.mcp import tool
from openenv.models import EnvironmentMetadata
from openenv.server.mcp.peer import MOST_UNDER_WAY


@contextlib.asynccontextmanager
async def listening(http: httpx.AsyncClient, session: str) -> AsyncIterator["asyncio.Task[None]"]:
    """Hold the stream of a session open; yield the task that ends with it."""
    opened = asyncio.Event()

    async def listen() -> None:
        headers = {**HEADERS, "Mcp-Session-Id": session}
        async with http.stream("GET", "/mcp", headers=headers) as stream:
            opened.set()
            async for _ in stream.aiter_bytes():
                pass

    task = asyncio.create_task(listen())
    await opened.wait()
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_stream_ends_with_its_session(serve):
    server: Server = serve(Shop)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        session = await initialized(http)
        async with listening(http, session) as stream:
            assert (await http.delete("/mcp", headers={"Mcp-Session-Id": session})).status_code == 204
            async with asyncio.timeout(10):
                await stream


async def test_a_stream_does_not_hold_up_a_server_that_ends(serve):
    server: Server = serve(Shop)
    async with (
        httpx.AsyncClient(base_url=server.url, timeout=30) as http,
        listening(http, await initialized(http)) as stream,
    ):
        await asyncio.to_thread(server.stop)
        await stream  # to its end, and is not cut


async def test_who_listens_no_longer_is_forgotten(serve):
    server: Server = serve(Shop)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        lent = (await http.post("/sessions", json={})).json()["session_id"]
        for _ in range(3):
            agent = (await initialize(http, f"?session_id={lent}")).headers["mcp-session-id"]
            async with listening(http, agent):
                pass
        session = server.manager.get(lent)
        assert await asyncio.to_thread(wait_until, lambda: not session._observers)


async def test_an_initialize_that_is_refused_leaves_no_session(serve):
    server: Server = serve(Shop, max_concurrent_envs=1)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        for wrong in ({"jsonrpc": "1.0", "id": 1}, {"jsonrpc": "2.0", "id": [1]}, {"jsonrpc": "2.0"}):
            asked = {**wrong, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}}
            assert "mcp-session-id" not in (await http.post("/mcp", json=asked, headers=HEADERS)).headers
        assert server.on_loop(server.manager.sessions) == []


async def test_a_client_that_hangs_up_while_its_call_runs_loses_no_step_and_leaves_nothing(serve):
    class Held(Shop):
        gate = threading.Event()

    server: Server = serve(Held)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        session = await initialized(http)
        asked = message("tools/call", 7, name="dawdle", arguments={}, _meta={"progressToken": 1})
        headers = {**HEADERS, "Mcp-Session-Id": session}
        try:
            async with http.stream("POST", "/mcp", json=asked, headers=headers) as stream:
                assert "progress" in await anext(stream.aiter_text())
        finally:
            Held.gate.set()
        assert (await call(http, session, "buy", 7 + 1))["result"]["structuredContent"] == {"result": 2}
        state = (await post(http, session, "resources/read", 9, uri="openenv://state")).json()
        assert '"step_count":2' in state["result"]["contents"][0]["text"]
        assert not server.manager.get(session).peer.is_asked(7)


async def test_an_environment_is_described_by_the_one_that_is_coming_up(serve):
    made = []

    class Described(Shop):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

        def get_metadata(self) -> EnvironmentMetadata:
            return EnvironmentMetadata(name="described", description="A shop")

    server: Server = serve(Described)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        answer = await initialize(http)
    assert answer.json()["result"]["serverInfo"]["name"] == "described"
    assert len(made) == 1


def test_the_last_result_is_never_that_of_a_call_before(serve):
    server: Server = serve(Shop)
    with GenericEnvClient(server.url).sync() as env:
        env.reset()
        env.call_tool("buy", count=3)
        assert env.last_result is not None
        assert env.last_result.reward == 3.0
        with pytest.raises(EpisodeEndedError):
            env.call_tool("buy")
        assert env.last_result is None


async def test_who_does_not_read_answers_is_not_listened_to_and_nothing_is_lost(serve):
    class Talkative(Shop):
        NON_BLOCKING = True

        @tool
        def talk(self) -> str:
            return "x" * 200_000

    server: Server = serve(Talkative)
    async with websockets.connect(f"{server.url.replace('http', 'ws')}/mcp", proxy=None, compression=None) as deaf:
        deaf.transport.pause_reading()
        for number in range(200):
            await deaf.send(json.dumps(message("tools/call", number, name="talk", arguments={})))
        session = server.on_loop(server.manager.sessions)[0]
        assert not await asyncio.to_thread(wait_until, lambda: session.info().step_count == 200, 1.0)
        deaf.transport.resume_reading()
        answers = [json.loads(await deaf.recv()) for _ in range(200)]
    assert [answer["id"] for answer in answers] == list(range(200))
    assert all("result" in answer for answer in answers)


async def test_of_one_client_so_many_requests_may_be_under_way(serve):
    class Held(Shop):
        gate = threading.Event()

    server: Server = serve(Held)
    try:
        async with websockets.connect(f"{server.url.replace('http', 'ws')}/mcp", proxy=None) as agent:
            for number in range(MOST_UNDER_WAY + 1):
                await agent.send(json.dumps(message("tools/call", number, name="dawdle", arguments={})))
            refused = json.loads(await agent.recv())
            assert refused["id"] == MOST_UNDER_WAY
            assert "under way" in refused["error"]["message"]
    finally:
        Held.gate.set()
