"""Whatever an environment answers and a client sends, every request has one answer, and the session goes on."""

import json
from typing import Any

import httpx
import pytest
import websockets
from tests.mcp.wire import HEADERS, call, initialized, message, post
from tests.servers import Server

from openenv.environment import Environment
from openenv.mcp import CallToolAction, MCPEnvironment, tool
from openenv.models import Observation, State


class Odd(MCPEnvironment):
    """Answers what looks like something else."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed: int | None = None) -> Observation:
        return Observation()

    @tool
    def looks_like_a_result(self) -> Any:
        return {"content": ["text"], "is_error": False, "data": 1}

    async def get_prompt(self, name: str, arguments: Any = None) -> list[dict[str, Any]]:
        return [{"role": "user"}]

    @property
    def state(self) -> State:
        return State()


class Said(Observation):
    tool_name: str = ""
    error: str | None = None


class OfItsOwn(Environment[CallToolAction, Said, State]):
    """Has errors of its own form."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed: int | None = None) -> Said:
        return Said()

    def step(self, action: CallToolAction) -> Said:
        return Said(tool_name=action.tool_name, error="out of paper")

    def list_tools(self) -> list[Any]:
        return []

    @property
    def state(self) -> State:
        return State()


async def test_a_value_that_looks_like_a_result_of_mcp_is_a_value(serve):
    server: Server = serve(Odd)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        answer = await call(http, await initialized(http), "looks_like_a_result")
    assert answer["result"]["structuredContent"] == {"content": ["text"], "is_error": False, "data": 1}


async def test_an_error_in_a_form_of_the_environments_own_is_told(serve):
    server: Server = serve(OfItsOwn)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        result = (await call(http, await initialized(http), "print"))["result"]
    assert result["isError"]
    assert result["content"][0]["text"] == "out of paper"


async def test_what_can_not_be_told_is_answered_by_an_error_and_the_session_goes_on(serve):
    server: Server = serve(Odd)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        session = await initialized(http)
        broken = await post(http, session, "prompts/get", name="x")
        assert broken.json()["error"]["code"] == -32603
        assert (await post(http, session, "tools/list", 3)).json()["result"]["tools"]


@pytest.mark.parametrize("seconds", [0, -1, True, "1", 1e300, 10**400, [1]])
async def test_a_time_that_is_none_is_refused(serve, seconds: Any):
    server: Server = serve(Odd)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        session = await initialized(http)
        asked = {"name": "looks_like_a_result", "_meta": {"openenv/timeout_s": seconds}}
        assert (await post(http, session, "tools/call", **asked)).json()["result"]["isError"]


async def test_an_answer_of_the_client_is_no_request_even_if_it_speaks_of_progress(serve):
    server: Server = serve(Odd)
    async with httpx.AsyncClient(base_url=server.url, timeout=10) as http:
        headers = {**HEADERS, "Mcp-Session-Id": await initialized(http)}
        answer = {"jsonrpc": "2.0", "id": 1, "result": {}, "params": {"_meta": {"progressToken": 1}}}
        assert (await http.post("/mcp", json=answer, headers=headers)).status_code == 202


@pytest.mark.parametrize("headers", [{"Origin": "http://[::1"}, {"Origin": "http://x.y", "Host": "[::1"}])
async def test_an_address_that_is_none_is_of_another_site(serve, headers: dict[str, str]):
    server: Server = serve(Odd)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        assert (await http.post("/mcp", json=message("ping"), headers=headers)).status_code == 403


@pytest.mark.parametrize("asked", [{"jsonrpc": "1.0", "method": "x"}, {"jsonrpc": "2.0", "method": 5}, {}])
async def test_a_frame_of_version_1_has_one_answer_whatever_is_in_it(serve, asked: dict[str, Any]):
    server: Server = serve(Odd)
    async with websockets.connect(f"{server.url.replace('http', 'ws')}/ws", proxy=None) as trainer:
        await trainer.send(json.dumps({"type": "mcp", "data": asked}))
        await trainer.send(json.dumps({"type": "state"}))
        kinds = [json.loads(await trainer.recv())["type"] for _ in range(2)]
    assert kinds == ["mcp", "state"]
