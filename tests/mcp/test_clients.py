"""The official client of MCP and that of fastmcp, unmodified, against real servers."""

import asyncio
import json
from typing import Any

import fastmcp
import httpx
import mcp
import pytest
from tests.mcp.shops import Guessing, Shop
from tests.mcp.wire import call, initialize, initialized, post
from tests.servers import Server

from openenv.client import GenericEnvClient
from openenv.errors import ConfigurationError
from openenv.mcp import tool


def meta(result: Any) -> dict[str, Any]:
    """Return how a step was graded."""
    return result.meta["openenv/result"]


@pytest.fixture
def shop(serve) -> Server:
    return serve(Shop, env_name="shop")


@pytest.fixture
def guessing(serve) -> Server:
    return serve(Guessing, env_name="guessing")


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_official_client_shakes_hands_lists_and_calls(guessing: Server, mode: str):
    async with mcp.Client(f"{guessing.url}/mcp", mode=mode) as client:
        assert client.server_info.name == "guessing"
        assert client.protocol_version == "2025-11-25"
        tools = {one.name: one for one in (await client.list_tools()).tools}
        assert set(tools) == {"guess", "ask"}
        assert tools["guess"].description == "Guess the number."
        assert tools["guess"].input_schema["properties"]["number"]["description"] == "Your guess."
        assert "metadata" not in tools["guess"].input_schema["properties"]
        assert set(tools["guess"].output_schema["properties"]) == {"text", "tries_left"}
        result = await client.call_tool("ask", {})
    assert result.structured_content["text"] in ("even", "odd")
    assert meta(result) == {"reward": -0.5, "done": False}


async def test_the_client_of_fastmcp_lists_and_calls(shop: Server):
    async with fastmcp.Client(f"{shop.url}/mcp") as client:
        assert "buy" in {one.name for one in await client.list_tools()}
        assert (await client.call_tool("buy", {"count": 2})).data == 1


async def test_tools_of_an_environment_are_told_as_they_are(shop: Server):
    async with mcp.Client(f"{shop.url}/mcp") as client:
        tools = {one.name: one for one in (await client.list_tools()).tools}
        assert tools["buy"].input_schema["properties"]["count"]["default"] == 1
        assert tools["buy"].input_schema["properties"]["count"]["description"] == "How many."
        assert tools["pay"].description == "Pay with nothing."
        assert not {"reset", "step", "state", "close"} & tools.keys()


async def test_a_hallucinated_tool_and_wrong_arguments_are_answered_for_the_model_to_read(shop: Server, guessing):
    async with mcp.Client(f"{shop.url}/mcp") as client:
        wrong = [await client.call_tool("sell", {}), await client.call_tool("buy", {"count": "many"})]
    async with mcp.Client(f"{guessing.url}/mcp") as client:
        wrong += [await client.call_tool("steal", {}), await client.call_tool("guess", {"number": 100})]
        assert (await client.call_tool("guess", {"number": 1})).is_error is False
    assert [one.is_error for one in wrong] == [True] * 4
    texts = [one.content[0].text for one in wrong]
    assert "sell" in texts[0]
    assert "buy" in texts[0]
    assert "count" in texts[1]
    assert "guess" in texts[2]
    assert "number" in texts[3]


async def test_a_tool_that_raises_or_returns_what_can_not_be_said_is_an_error_and_the_session_goes_on(shop: Server):
    async with mcp.Client(f"{shop.url}/mcp") as client:
        failed = await client.call_tool("fail", {})
        strange = await client.call_tool("strange", {})
        assert (failed.is_error, strange.is_error) == (True, True)
        assert "out of apples" in failed.content[0].text
        assert (await client.call_tool("buy", {})).structured_content == {"result": 2}


async def test_fifty_megabytes_are_told_once(shop: Server):
    async with httpx.AsyncClient(base_url=shop.url, timeout=60) as http:
        session = await initialized(http)
        answer = await call(http, session, "flood", megabytes=50)
        assert len(answer["result"]["structuredContent"]["result"]) == 50_000_000
        assert len(answer["result"]["content"][0]["text"]) < 2000
        answer = await call(http, session, "flood", megabytes=110)
        assert answer["error"]["data"]["code"] == "MESSAGE_TOO_LARGE"
        assert (await call(http, session, "buy"))["result"]["isError"] is False


async def test_calls_after_the_end_are_refused_and_a_new_client_begins_a_new_episode(shop: Server):
    async with mcp.Client(f"{shop.url}/mcp") as client:
        last = await client.call_tool("buy", {"count": 3})
        assert meta(last)["done"] is True
        assert "over" in last.content[-1].text
        late = await client.call_tool("buy", {})
        assert late.is_error
        assert late.meta["openenv/error"]["code"] == "EPISODE_ENDED"
    async with mcp.Client(f"{shop.url}/mcp") as client:
        assert (await client.call_tool("buy", {})).structured_content == {"result": 2}


async def test_the_first_call_begins_the_episode_and_shows_how_it_began(guessing: Server):
    async with mcp.Client(f"{guessing.url}/mcp") as client:
        first, second = await client.call_tool("ask", {}), await client.call_tool("ask", {})
    assert "I have thought of a number" in first.content[-1].text
    assert len(second.content) == 1


async def test_state_the_last_observation_and_the_readme_are_resources(guessing: Server):
    async with mcp.Client(f"{guessing.url}/mcp") as client:
        assert {one.uri for one in (await client.list_resources()).resources} >= {
            "openenv://state",
            "openenv://observation",
        }
        begun = await client.read_resource("openenv://observation")
        assert json.loads(begun.contents[0].text)["observation"]["text"] == "I have thought of a number"
        await client.call_tool("ask", {})
        shown = json.loads((await client.read_resource("openenv://observation")).contents[0].text)
        assert (shown["reward"], shown["observation"]["tries_left"]) == (-0.5, 6)
        state = json.loads((await client.read_resource("openenv://state")).contents[0].text)
        assert state["step_count"] == 1
        with pytest.raises(mcp.MCPError, match="no resource"):
            await client.read_resource("openenv://secrets")


async def test_prompts_are_those_that_the_environment_gives(shop: Server, guessing: Server):
    async with mcp.Client(f"{shop.url}/mcp") as client:
        [haggle] = (await client.list_prompts()).prompts
        assert (haggle.name, haggle.arguments[0].name, haggle.arguments[0].required) == ("haggle", "item", True)
        made = await client.get_prompt("haggle", {"item": "apple"})
        assert made.messages[0].content.text == "How much is the apple for me?"
        with pytest.raises(mcp.MCPError):
            await client.get_prompt("beg", {})
    async with mcp.Client(f"{guessing.url}/mcp") as client:
        assert (await client.list_prompts()).prompts == []


async def test_progress_is_told_while_a_tool_runs_and_a_call_can_be_cancelled(shop: Server):
    told: list[Any] = []
    heard = asyncio.Event()

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))
        heard.set()

    async with mcp.Client(f"{shop.url}/mcp") as client:
        call = asyncio.create_task(client.call_tool("dawdle", {}, progress_callback=progressed))
        await asyncio.wait_for(heard.wait(), 15)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert told == [(0.25, 1.0, "a quarter")]
        after = await client.call_tool("buy", {})  # on a new environment, as it is told
        assert after.structured_content == {"result": 2}
        assert "new environment" in after.content[-1].text


async def test_a_tool_that_hangs_is_stopped_at_its_time_and_the_session_goes_on(shop: Server):
    async with mcp.Client(f"{shop.url}/mcp") as client:
        late = await client.call_tool("dawdle", {}, meta={"openenv/timeout_s": 0.3})
        assert late.is_error
        assert (await client.call_tool("buy", {})).is_error is False


async def test_a_client_is_told_that_the_tools_have_changed(shop: Server):
    changed = asyncio.Event()

    async def handle(message: Any) -> None:
        if getattr(message, "method", "") == "notifications/tools/list_changed":
            changed.set()

    async with mcp.Client(f"{shop.url}/mcp", mode="legacy", message_handler=handle) as client:
        await _listening(shop)
        assert "descend" not in {one.name for one in (await client.list_tools()).tools}
        await client.call_tool("open_cellar", {})
        await asyncio.wait_for(changed.wait(), 15)
        assert "descend" in {one.name for one in (await client.list_tools(cache_mode="refresh")).tools}
        assert (await client.call_tool("descend", {})).content[0].text == "It is dark"


async def test_a_trainer_lends_its_session_to_an_agent_and_both_see_the_same_episode(guessing: Server):
    async with httpx.AsyncClient(base_url=guessing.url) as trainer:
        session = (await trainer.post("/sessions")).json()["session_id"]
        url = f"{guessing.url}/mcp?session_id={session}"
        async with mcp.Client(url) as agent:
            early = await agent.call_tool("ask", {})
            assert early.meta["openenv/error"]["code"] == "NOT_RESET"
            await trainer.post(f"/sessions/{session}/reset", json={"seed": 3})
            assert meta(await agent.call_tool("ask", {}))["reward"] == -0.5
            assert (await trainer.get(f"/sessions/{session}/state")).json()["step_count"] == 1
        assert (await trainer.get(f"/sessions/{session}")).json()["phase"] == "running"  # it was lent


async def test_a_session_of_somebody_else_is_of_no_use_without_its_token(guessing: Server):
    async with GenericEnvClient(guessing.url) as trainer:
        await trainer.reset(seed=1)
        [session] = guessing.on_loop(lambda: [(one.id, one.token) for one in guessing.manager.sessions()])
        async with httpx.AsyncClient(base_url=guessing.url) as http:
            for query in ("", "&token=wrong"):
                refused = await initialize(http, f"?session_id={session[0]}{query}")
                assert (refused.status_code, refused.json()["error"]["data"]["code"]) == (404, "SESSION_NOT_FOUND")
            refused = await post(http, session[0], "tools/list")
            assert refused.status_code == 404
        async with mcp.Client(f"{guessing.url}/mcp?session_id={session[0]}&token={session[1]}") as agent:
            assert (await agent.call_tool("ask", {})).is_error is False
        assert (await trainer.state())["step_count"] == 1


async def test_two_clients_with_one_session_id_are_one_client(guessing: Server):
    async with httpx.AsyncClient(base_url=guessing.url) as one, httpx.AsyncClient(base_url=guessing.url) as other:
        session = await initialized(one)
        answers = await asyncio.gather(*(call(http, session, "ask", n) for n, http in enumerate((one, other) * 3)))
        assert [answer["id"] for answer in answers] == [0, 1, 2, 3, 4, 5]
        left = sorted(answer["result"]["structuredContent"]["tries_left"] for answer in answers)
        assert left == [1, 2, 3, 4, 5, 6]


async def test_a_hundred_clients_at_once_do_not_hear_of_one_another(serve):
    server = serve(Guessing, max_concurrent_envs=100)

    async def play(number: int) -> list[Any]:
        session = await initialized(http)
        answers = [await call(http, session, "ask", id_=str(number)) for _ in range(1 + number % 5)]
        assert {answer["id"] for answer in answers} == {str(number)}
        await http.delete("/mcp", headers={"Mcp-Session-Id": session})
        return [answer["result"]["structuredContent"]["tries_left"] for answer in answers]

    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as http:
        played = await asyncio.gather(*(play(number) for number in range(100)))
    assert played == [[6, 5, 4, 3, 2][: 1 + number % 5] for number in range(100)]
    assert server.on_loop(server.manager.sessions) == []


async def _listening(server: Server) -> None:
    """Wait until the client's stream is open."""
    async with asyncio.timeout(15):
        while not server.on_loop(lambda: any(s.peer and s.peer.stream for s in server.manager.sessions())):
            await asyncio.sleep(0.01)


def test_tools_that_nobody_would_see_are_refused_when_the_environment_is_served(serve):
    class Forgetful(Guessing):
        @tool
        def peek(self) -> int:
            return 1

    with pytest.raises(ConfigurationError, match="MCPEnvironment"):
        serve(Forgetful)
