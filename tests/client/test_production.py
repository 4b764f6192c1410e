"""A client in production mode has tools, and nothing else, and is told what goes wrong by the same errors."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.client import ways
from tests.client.toolbox import Greeting, Hand, Toolbox
from tests.servers import wait_until
from tests.toys import LAST_TOTAL, Add, Count, Counter, CounterEnv, Gate, Tally, gated
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as websocket_server

from openenv.client import EnvClient, GenericEnvClient, HTTPEnvClient, MCPToolClient, Progress
from openenv.client.link import mcp_url
from openenv.errors import (
    BudgetExceededError,
    ConnectionFailedError,
    EpisodeEndedError,
    ExecutionError,
    InvalidReplyError,
    InvalidRequestError,
    MessageTooLargeError,
    RequestCancelledError,
    RequestError,
    SessionCapacityError,
    SessionLost,
    ToolCallError,
    ToolsOnlyError,
)
from openenv.mcp import CallToolAction, ListToolsAction
from openenv.models import StepResult
from openenv.values import dumps, loads


class CounterHTTP(HTTPEnvClient[Add, Count, Tally]):
    """A client of the first generation."""


class ToolboxEnv(EnvClient[Add, Greeting, Hand]):
    """A client of the toolbox."""


@pytest.fixture(scope="module")
def counters(host):
    """A server of counters in production."""
    return host.serve(Counter, mode="production")


@pytest.fixture(scope="module")
def toolboxes(host):
    """A server of toolboxes in production."""
    return host.serve(Toolbox, mode="production")


def in_production(cls: Any, server: Any, **options: Any) -> Any:
    return cls(server.url, mode="production", **options)


# --- with a real server -------------------------------------------------------------------------


@pytest.mark.parametrize("way", ways.BY_NAME.values(), ids=ways.BY_NAME)
def test_an_agent_plays_by_tools_in_every_way_of_calling(counters, way):
    def script(env: Any) -> Any:
        assert len((yield env.list_tools)) == 1
        assert (yield lambda: env.call_tool("add", amount=3)).total == 3
        assert (yield lambda: env.call_tool("add", amount=4)).total == 7
        with pytest.raises(ToolsOnlyError):
            str((yield env.reset))
        assert (yield lambda: env.call_tool("add", amount=0)).total == 7
        yield env.close

    way(in_production(CounterEnv, counters), script)


@pytest.mark.parametrize("cls", [CounterEnv, CounterHTTP, GenericEnvClient])
def test_what_is_about_training_is_refused_and_the_episode_goes_on(counters, cls):
    with in_production(cls, counters) as env:
        env.call_tool("add", amount=3)
        action = {"amount": 1} if cls is GenericEnvClient else Add(amount=1)
        for call in (env.reset, env.state, lambda: env.step(action)):
            with pytest.raises(ToolsOnlyError, match="there are only tools"):
                call()
        seen = env.call_tool("add", amount=1)
        assert (seen["total"] if isinstance(seen, dict) else seen.total) == 4


def test_the_mode_may_come_from_the_environment_of_the_program(counters, monkeypatch):
    monkeypatch.setenv("OPENENV_CLIENT_MODE", "production")
    with CounterEnv(counters.url) as env:
        assert env.call_tool("add", amount=3).total == 3


def test_a_client_of_the_other_mode_is_told_so(counters):
    with pytest.raises(ConnectionFailedError, match='mode="production"'):
        CounterEnv(counters.url).reset()


@pytest.mark.parametrize("cls", [ToolboxEnv, GenericEnvClient, MCPToolClient])
def test_tools_of_the_environment_return_what_they_return_in_training(toolboxes, cls):
    with in_production(cls, toolboxes) as env:
        assert env.has_tool("add")
        assert env.call_tool("named", name="Ada") == {"name": "Ada"}
        assert env.call_tool("add", a=1, b=2) == 3
        assert env.call_tool("fetch", structured_content={"result": 3}) == 3
        assert env.call_tool("finish") == "done"
        with pytest.raises(EpisodeEndedError):
            env.call_tool("add", a=1, b=2)


def test_what_the_server_tells_beside_a_result_is_no_part_of_it(serve):
    class Brief(Toolbox):
        def step(self, action: Any) -> Any:
            shown = super().step(action)
            shown.done = True
            return shown

    with in_production(ToolboxEnv, serve(Brief, mode="production")) as env:
        assert env.call_tool("fetch") == "3"  # the first call, which begins an episode, and the last
        assert env.last_result.done


def test_steps_of_tool_actions_work_too(toolboxes):
    with in_production(MCPToolClient, toolboxes) as env:
        listed = env.step(ListToolsAction())
        assert [tool.name for tool in listed.observation.tools] == ["add", "named", "fetch", "finish"]
        result = env.step(CallToolAction(tool_name="add", arguments={"a": 1, "b": 2}))
        assert (result.observation.tool_name, result.observation.result) == ("add", 3)


def test_an_object_with_nothing_but_a_result_stays_one(serve):
    class Nested(Toolbox):
        def step(self, action: Any) -> Any:
            shown = super().step(action)
            shown.result = {"result": shown.result}
            return shown

    with in_production(ToolboxEnv, serve(Nested, mode="production")) as env:
        assert env.call_tool("add", a=1, b=2) == {"result": 3}


def test_an_agent_is_not_told_how_it_is_graded_and_a_trainers_client_is(host, counters):
    with in_production(CounterEnv, counters) as env:
        env.call_tool("add", amount=LAST_TOTAL)
        assert (env.last_result.reward, env.last_result.done) == (None, True)
    server = host.serve(Counter)
    with in_production(CounterEnv, server) as env:
        env.call_tool("add", amount=2)
        assert (env.last_result.reward, env.last_result.done) == (2.0, False)
    server.stop()


def test_a_tool_that_fails_raises_as_in_training(toolboxes):
    with in_production(ToolboxEnv, toolboxes) as env:
        with pytest.raises(ToolCallError, match="Tool 'juggle' failed: no tool juggle") as caught:
            env.call_tool("juggle")
        assert caught.value.error_type == "tool_not_found"
        with pytest.raises(ToolCallError, match="Tool 'fetch' failed: 3"):
            env.call_tool("fetch", is_error=True)
        assert env.call_tool("add", a=1, b=2) == 3


def test_refused_and_failed_calls_raise_the_errors_of_a_step(counters):
    with in_production(CounterEnv, counters) as env:
        with pytest.raises(InvalidRequestError, match="There is no tool 'juggle'"):
            env.call_tool("juggle")
        with pytest.raises(InvalidRequestError, match="amount"):
            env.call_tool("add", amount="many")
        with pytest.raises(ExecutionError):
            env.call_tool("add", trouble="raise")


def test_each_client_has_an_episode_of_its_own(counters):
    with in_production(CounterEnv, counters) as one, one.new_session() as other:
        one.call_tool("add", amount=3)
        assert other.call_tool("add", amount=4).total == 4
        assert one.call_tool("add", amount=1).total == 4


def test_after_a_loss_calls_are_refused_until_the_client_connects_again(counters):
    with in_production(CounterEnv, counters) as env:
        env.call_tool("add", amount=3)
        counters.cut()
        assert wait_until(lambda: not env._core.link.connected)
        for _ in range(2):
            with pytest.raises(SessionLost, match=r"connect\(\) opens a new session"):
                env.call_tool("add", amount=3)
            assert env.has_tool("add")
        env.connect()
        assert env.call_tool("add", amount=4).total == 4


async def test_a_connection_lost_during_a_call_fails_the_call(serve):
    gate = Gate()
    server = serve(gated(gate), mode="production")
    async with in_production(CounterEnv, server) as env:
        call = asyncio.create_task(env.call_tool("add", amount=0))
        await asyncio.to_thread(gate.wait_for, 1)
        await asyncio.to_thread(server.cut)
        with pytest.raises(SessionLost, match="was lost"):
            await call
        gate.open()


async def test_a_call_may_be_cancelled(serve):
    gate = Gate()
    async with in_production(CounterEnv, serve(gated(gate), mode="production")) as env:
        assert not await env.cancel()
        call = asyncio.create_task(env.call_tool("add", amount=0))
        await asyncio.to_thread(gate.wait_for, 1)
        assert await env.cancel()
        with pytest.raises(RequestCancelledError):
            await call
        gate.open()


def test_a_call_may_have_a_limit(serve):
    gate = Gate()
    with in_production(CounterEnv, serve(gated(gate), mode="production")) as env:
        with pytest.raises(BudgetExceededError):
            env.step(CallToolAction(tool_name="add", arguments={"amount": 0}), timeout_s=0.05)
        gate.open()


def test_progress_is_told_and_keeps_a_call_alive(serve):
    class Slow(Counter):
        def step(self, action: Add) -> Count:
            for fraction in (0.25, 0.75):
                self.progress(fraction, "adding")
            return super().step(action)

    heard: list[Progress] = []
    server = serve(Slow, mode="production")
    with in_production(CounterEnv, server, on_progress=heard.append) as env:
        assert env.call_tool("add", amount=2).total == 2
    assert [(progress.fraction, progress.message) for progress in heard][-1] == (0.75, "adding")


def test_a_server_without_room_says_so(serve):
    server = serve(Counter, mode="production", max_concurrent_envs=1)
    with in_production(CounterEnv, server) as env:
        env.call_tool("add", amount=1)
        with pytest.raises(SessionCapacityError):
            in_production(CounterEnv, server).list_tools()


def test_a_call_over_the_limit_is_not_sent(counters):
    with in_production(CounterEnv, counters, max_message_size_mb=0.01) as env:
        with pytest.raises(MessageTooLargeError):
            env.call_tool("add", amount="9" * 20_000)
        assert env.call_tool("add", amount=1).total == 1


def test_an_answer_over_the_limit_fails_its_call(counters):
    with in_production(CounterEnv, counters, max_message_size_mb=1) as env:
        with pytest.raises(MessageTooLargeError, match="max_message_size_mb"):
            env.call_tool("add", trouble="large")
        with pytest.raises(SessionLost, match="max_message_size_mb"):
            env.call_tool("add", amount=1)


def test_a_call_without_a_name_is_refused(toolboxes):
    with in_production(GenericEnvClient, toolboxes) as env, pytest.raises(InvalidRequestError, match="tool_name"):
        env.step({"type": "call_tool"})


async def test_many_agents_at_once_do_not_get_one_anothers_answers(counters):
    async def play(number: int) -> list[int]:
        async with in_production(CounterEnv, counters) as env:
            return [(await env.call_tool("add", amount=number)).total for _ in range(3)]

    totals = await asyncio.gather(*map(play, range(14, 44)))
    assert totals == [[n, 2 * n, 3 * n] for n in range(14, 44)]


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://host:1/env", "ws://host:1/env/mcp"),
        ("wss://host/ws", "wss://host/mcp"),
        ("unix:///run/env.sock", "ws+unix://%2Frun%2Fenv.sock/mcp"),
    ],
)
def test_the_address_of_the_tools_is_beside_that_of_the_training(base, url):
    assert mcp_url(base) == url


# --- with servers that are not ours -------------------------------------------------------------

Say = Callable[[dict[str, Any]], Awaitable[None]]
Act = Callable[[dict[str, Any], Say], Awaitable[None]]


@asynccontextmanager
async def playing(act: Act, **options: Any) -> AsyncIterator[Any]:
    """Give an untyped client of a server that does this with every request but the first."""

    async def serve(connection: ServerConnection) -> None:
        async def say(message: dict[str, Any]) -> None:
            await connection.send(dumps(message).decode())

        async for frame in connection:
            message = loads(frame.encode())
            if message["method"] == "initialize":
                await say({"jsonrpc": "2.0", "id": message["id"], "result": {}})
            elif "id" in message:
                await act(message, say)

    async with websocket_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with GenericEnvClient(f"http://127.0.0.1:{port}", mode="production", **options) as env:
            yield env


def saying(**answer: Any) -> Act:
    async def act(message: dict[str, Any], say: Say) -> None:
        await say({"jsonrpc": "2.0", "id": message["id"], **answer})

    return act


TEXT = [{"type": "text", "text": "hi"}]

RESULTS = {
    "text": ({"content": TEXT}, "hi"),
    "structured": ({"content": TEXT, "structuredContent": {"a": 1}}, {"a": 1}),
    "wrapped": ({"content": [{"type": "text", "text": "3"}], "structuredContent": {"result": 3}}, 3),
    "wrapped text": ({"content": TEXT, "structuredContent": {"result": "hi"}}, "hi"),
    "wrapped and nothing said": ({"content": [], "structuredContent": {"result": 3}}, 3),
    "as older servers say it": ({"content": TEXT, "structured_content": {"a": 1}, "data": 5}, 5),
    "nothing": ({"content": [], "_meta": None}, None),
}


@pytest.mark.parametrize(("result", "value"), RESULTS.values(), ids=RESULTS)
async def test_the_value_of_a_result_is_returned(result, value):
    async with playing(saying(result=result)) as env:
        assert await env.call_tool("x") == value


async def test_what_a_result_says_of_the_step_is_in_the_last_result():
    meta = {"openenv/result": {"reward": 2, "done": True, "truncated": True, "episode_id": "e"}}
    async with playing(saying(result={"content": TEXT, "_meta": meta})) as env:
        await env.call_tool("x")
        last = env.last_result
        assert isinstance(last, StepResult)
        assert (last.reward, last.done, last.truncated) == (2, True, True)


ERRORS = {
    "of JSON-RPC": ({"code": -32602, "message": "bad arguments"}, InvalidRequestError, "bad arguments"),
    "unknown": ({"code": 7, "message": "odd"}, RequestError, "odd"),
    "without anything": ({}, RequestError, None),
    "of this project": (
        {"code": -32000, "message": "x", "data": {"code": "EXECUTION_ERROR", "message": "it broke"}},
        ExecutionError,
        "it broke",
    ),
    "of this project, short": (
        {"code": -32000, "message": "it is gone", "data": {"code": "SESSION_LOST"}},
        SessionLost,
        "it is gone",
    ),
}


@pytest.mark.parametrize(("error", "kind", "message"), ERRORS.values(), ids=ERRORS)
async def test_an_error_of_json_rpc_has_its_class(error, kind, message):
    async with playing(saying(error=error)) as env:
        with pytest.raises(kind, match=message) as caught:
            await env.call_tool("x")
        assert type(caught.value) is kind


@pytest.mark.parametrize("result", [5, {}, {"content": 5}, {"content": [5]}])
async def test_a_result_that_is_none_is_told(result):
    async with playing(saying(result=result)) as env:
        with pytest.raises(InvalidReplyError):
            await env.call_tool("x")


async def test_a_server_that_knows_no_handshake_is_used_all_the_same():
    async def serve(connection: ServerConnection) -> None:
        async for frame in connection:
            message = loads(frame.encode())
            if message["method"] == "initialize":
                answer = {"error": {"code": -32601, "message": "Method not found"}}
            else:
                answer = {"result": {"content": TEXT, "data": 5, "is_error": False}}
            await connection.send(dumps({"jsonrpc": "2.0", "id": message["id"], **answer}).decode())

    async with websocket_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with GenericEnvClient(f"http://127.0.0.1:{port}", mode="production") as env:
            assert await env.call_tool("x") == 5


async def test_a_server_that_does_not_answer_the_handshake_is_given_up():
    async def serve(connection: ServerConnection) -> None:
        async for _ in connection:
            pass

    async with websocket_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = GenericEnvClient(f"http://127.0.0.1:{port}", mode="production", connect_timeout_s=0.2)
        with pytest.raises(BudgetExceededError, match="connect_timeout_s"):
            await client.connect()


async def test_tools_that_change_are_asked_for_again():
    names = iter("abc")

    async def act(message: dict[str, Any], say: Say) -> None:
        if message["method"] == "tools/list":
            await say({"jsonrpc": "2.0", "id": message["id"], "result": {"tools": [{"name": next(names)}]}})
        else:
            await say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
            await say({"jsonrpc": "2.0", "id": message["id"], "result": {"content": TEXT}})

    async with playing(act) as env:
        for _ in range(2):
            assert [tool.name for tool in await env.list_tools()] == ["a"]
        await env.call_tool("x")
        for _ in range(2):
            assert [tool.name for tool in await env.list_tools()] == ["b"]


async def test_answers_are_told_apart_by_their_ids_and_late_ones_dropped():
    held: list[dict[str, Any]] = []

    async def act(message: dict[str, Any], say: Say) -> None:
        held.append(message)
        if len(held) == 3:
            for one in reversed(held):
                content = [{"type": "text", "text": one["params"]["name"]}]
                await say({"jsonrpc": "2.0", "id": one["id"], "result": {"content": content}})

    async with playing(act) as env:
        given_up = asyncio.create_task(env.call_tool("a"))
        calls = [asyncio.create_task(env.call_tool("b"))]
        while len(held) < 2:
            await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        calls.append(asyncio.create_task(env.call_tool("c")))
        assert await asyncio.gather(*calls) == ["b", "c"]
        while not env._core.link.late_replies:
            await asyncio.sleep(0)
        assert env._core.link.late_replies == 1


async def test_a_server_that_asks_whether_anybody_is_there_is_answered():
    async def serve(connection: ServerConnection) -> None:
        async for frame in connection:
            message = loads(frame.encode())
            if message.get("method") == "initialize":
                await connection.send(dumps({"jsonrpc": "2.0", "id": message["id"], "result": {}}).decode())
            elif message.get("method") == "tools/call":
                asked = message["id"]
                await connection.send('{"jsonrpc":"2.0","id":"p","method":"ping"}')
            elif message.get("id") == "p":
                assert message == {"jsonrpc": "2.0", "id": "p", "result": {}}
                await connection.send(dumps({"jsonrpc": "2.0", "id": asked, "result": {"content": TEXT}}).decode())

    async with websocket_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with GenericEnvClient(f"http://127.0.0.1:{port}", mode="production") as env:
            assert await env.call_tool("x") == "hi"


async def test_a_call_that_is_not_answered_is_given_up():
    async def act(message: dict[str, Any], say: Say) -> None:
        pass

    async with playing(act, message_timeout_s=0.05) as env:
        with pytest.raises(BudgetExceededError, match="message budget"):
            await env.call_tool("x")


@pytest.mark.parametrize("frame", ["this is no JSON", "[1]", "5"])
async def test_a_frame_that_is_no_message_fails_what_is_waited_for(frame):
    async def serve(connection: ServerConnection) -> None:
        async for raw in connection:
            message = loads(raw.encode())
            if message["method"] == "initialize":
                await connection.send(dumps({"jsonrpc": "2.0", "id": message["id"], "result": {}}).decode())
            elif "id" in message:
                await connection.send(frame)

    async with websocket_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with GenericEnvClient(f"http://127.0.0.1:{port}", mode="production") as env:
            with pytest.raises(InvalidReplyError, match="no message"):
                await env.call_tool("x")
