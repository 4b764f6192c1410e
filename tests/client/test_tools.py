"""Tools on every client: they are listed without a step, and a call of one is a step like any other."""

import asyncio
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ConfigDict
from tests.client import ways
from tests.client.toolbox import Greeting, Hand, Toolbox, as_mcp
from tests.servers import wait_until
from tests.toys import Add, Count, Counter, CounterEnv, Gate, Tally, gated
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as websocket_server

from openenv.client import EnvClient, EnvPool, GenericEnvClient, HTTPEnvClient, MCPToolClient
from openenv.errors import (
    BudgetExceededError,
    EpisodeEndedError,
    InvalidReplyError,
    InvalidRequestError,
    NotResetError,
    RequestError,
    SerializationError,
    SessionLost,
    ToolCallError,
)
from openenv.mcp import CallToolAction, CallToolObservation, ListToolsAction, ListToolsObservation, Tool
from openenv.models import Observation, StepResult
from openenv.outcomes import Status
from openenv.values import dumps, loads


class CounterHTTP(HTTPEnvClient[Add, Count, Tally]):
    """The HTTP client of the counters."""


class ToolboxEnv(EnvClient[Add, Greeting, Hand]):
    """A client of the toolbox whose types know nothing of tools."""


class ToolboxHTTP(HTTPEnvClient[Add, Greeting, Hand]):
    """The same over HTTP."""


CLIENTS = [ToolboxEnv, ToolboxHTTP, GenericEnvClient, MCPToolClient]


# --- in every way of calling --------------------------------------------------------------------


@pytest.mark.parametrize("way", ways.BY_NAME.values(), ids=ways.BY_NAME)
def test_tools_are_listed_and_called_in_every_way_of_calling(shared, way):
    def script(env: Any) -> Any:
        tools = yield env.list_tools
        assert [tool.name for tool in tools] == ["add"]
        assert (yield lambda: env.has_tool("add")) == True  # noqa: E712 - it may be pending
        assert (yield lambda: env.get_tool("add")).input_schema["properties"]["amount"]["type"] == "integer"
        yield env.reset
        seen = yield lambda: env.call_tool("add", amount=3)
        assert seen.total == 3
        assert env.last_result.reward == 3.0
        with pytest.raises(InvalidRequestError, match="There is no tool 'subtract'"):
            str((yield lambda: env.call_tool("subtract")))
        yield env.close

    way(CounterEnv(shared(Counter).url), script)


@pytest.mark.parametrize("cls", CLIENTS)
def test_every_client_calls_the_tools_of_an_environment(shared_each, cls):
    with cls(shared_each(Toolbox).url) as env:
        assert env.has_tool("add") is True
        assert env.get_tool("juggle") is None
        assert env.has_tool("juggle") is False
        assert env.reset().done is False
        assert env.call_tool("add", a=1, b=2) == 3
        assert (env.last_result.reward, env.last_result.done) == (0.5, False)
        assert env.call_tool("finish") == "done"
        assert env.last_result.outcome.status is Status.TERMINATED
        with pytest.raises(EpisodeEndedError):
            env.call_tool("add", a=1, b=2)


def test_the_blocking_face_has_the_tools_and_the_last_result(shared):
    with MCPToolClient(shared(Toolbox).url).sync() as env:
        env.reset()
        assert env.last_result is None
        assert env.call_tool("add", a=1, b=2) == 3
        assert env.last_result.reward == 0.5
        assert env.get_tool("add") == env.list_tools()[0]
        assert env.has_tool("add") is True


# --- calls --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", CLIENTS)
def test_an_argument_of_a_tool_may_be_called_as_the_parameter_of_the_method(shared, cls):
    with cls(shared(Toolbox).url) as env:
        env.reset()
        assert env.call_tool("named", name="Ada") == {"name": "Ada"}


@pytest.mark.parametrize("cls", [CounterEnv, CounterHTTP, GenericEnvClient])
def test_the_call_of_an_action_gives_the_observation_as_a_step_does(shared_each, cls):
    with cls(shared_each(Counter).url) as env:
        env.reset()
        stepped = env.step({"amount": 2} if cls is GenericEnvClient else Add(amount=2))
        called = env.call_tool("add", amount=2)
        assert type(called) is type(stepped.observation)
        assert env.last_result.reward == stepped.reward == 2.0


@pytest.mark.parametrize("cls", CLIENTS)
def test_a_call_that_fails_raises_and_its_step_is_not_lost(shared_each, cls):
    with cls(shared_each(Toolbox).url) as env:
        env.reset()
        with pytest.raises(RuntimeError, match="Tool 'juggle' failed: no tool juggle") as caught:
            env.call_tool("juggle", balls=3)
        error = caught.value
        assert isinstance(error, ToolCallError)
        assert (error.tool_name, error.error_type) == ("juggle", "tool_not_found")
        assert error.result is env.last_result
        assert (error.result.reward, error.outcome.status) == (0.5, Status.OK)
        state = env.state()
        assert (state["step_count"] if isinstance(state, dict) else state.step_count) == 1


def test_a_failed_call_can_be_sent_to_another_process():
    result = StepResult(CallToolObservation(tool_name="x"), 0.5, False)
    error = ToolCallError("Tool 'x' failed: no", tool_name="x", error_type="timeout", result=result)
    twin = pickle.loads(pickle.dumps(error))
    assert (str(twin), twin.tool_name, twin.error_type) == (str(error), "x", "timeout")
    assert twin.result.reward == 0.5


@pytest.mark.parametrize(
    ("result", "returned"),
    [
        ({"data": 3, "structured_content": {"result": 3}}, 3),
        ({"structured_content": {"a": 1}}, {"a": 1}),
        ({}, "3"),
        ({"content": []}, None),
        ({"content": [{"type": "image", "data": "aGk="}]}, [{"type": "image", "data": "aGk="}]),
    ],
)
def test_of_the_result_of_an_mcp_server_the_value_is_returned(shared, result, returned):
    with MCPToolClient(shared(Toolbox).url) as env:
        env.reset()
        assert env.call_tool("fetch", **result) == returned
        assert env.last_result.observation.result == as_mcp("3", **result)


def test_a_result_that_says_it_is_an_error_raises(shared):
    with MCPToolClient(shared(Toolbox).url) as env:
        env.reset()
        with pytest.raises(ToolCallError, match="Tool 'fetch' failed: 3") as caught:
            env.call_tool("fetch", is_error=True)
        assert caught.value.error_type == "execution_error"


@pytest.mark.parametrize("returned", [{"data": 1}, {"content": "text", "data": 1, "is_error": False}])
def test_a_value_that_only_looks_like_such_a_result_is_returned_whole(serve, returned):
    class Odd(Toolbox):
        def step(self, action: Any) -> CallToolObservation:
            return CallToolObservation(tool_name="odd", result=returned)

    with MCPToolClient(serve(Odd).url) as env:
        env.reset()
        assert env.call_tool("odd") == returned


def test_a_call_before_the_first_reset_is_refused(shared_each):
    with ToolboxEnv(shared_each(Toolbox).url) as env, pytest.raises(NotResetError):
        env.call_tool("add", a=1, b=2)


def test_what_has_no_form_on_the_wire_is_refused_and_the_episode_goes_on(shared):
    with ToolboxEnv(shared(Toolbox).url) as env:
        env.reset()
        with pytest.raises(SerializationError):
            env.call_tool("add", a=object(), b=2)
        with pytest.raises(InvalidRequestError, match="The name of a tool is text, not int"):
            env.call_tool(5)  # type: ignore[arg-type]
        assert env.call_tool("add", a=1, b=2) == 3


def test_bytes_and_models_are_arguments(serve):
    class Echo(Toolbox):
        def step(self, action: Any) -> CallToolObservation:
            return CallToolObservation(tool_name="echo", result=sorted(action.arguments))

    with GenericEnvClient(serve(Echo).url) as env:
        env.reset()
        assert env.call_tool("echo", raw=b"\x00\xff", model=Add(amount=2)) == ["model", "raw"]


# --- steps --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [ToolboxEnv, ToolboxHTTP, MCPToolClient])
def test_a_step_of_a_tool_action_gives_a_tools_observation(shared_each, cls):
    with cls(shared_each(Toolbox).url) as env:
        env.reset()
        called = env.step(CallToolAction(tool_name="add", arguments={"a": 1, "b": 2}))
        assert called.observation == CallToolObservation(tool_name="add", result=3, reward=0.5)
        listed = env.step(ListToolsAction())
        assert isinstance(listed.observation, ListToolsObservation)
        assert [tool.name for tool in listed.observation.tools][:2] == ["add", "named"]


def test_a_step_of_a_tool_action_gives_a_dictionary_to_an_untyped_client(shared):
    with GenericEnvClient(shared(Toolbox).url) as env:
        env.reset()
        result = env.step(CallToolAction(tool_name="add", arguments={"a": 1, "b": 2}))
        assert result.observation["result"] == 3


def test_tools_are_listed_by_a_step_where_the_application_names_calls_alone(serve):
    with MCPToolClient(serve(Toolbox, action_cls=CallToolAction, observation_cls=CallToolObservation).url) as env:
        env.reset()
        assert env.step(ListToolsAction()).observation.tools[0].name == "add"
        assert env.call_tool("add", a=1, b=2) == 3


def test_a_step_of_a_tool_action_may_have_a_limit(serve):
    gate = Gate()
    with CounterEnv(serve(gated(gate)).url) as env:
        env.reset()
        with pytest.raises(BudgetExceededError):
            env.step(CallToolAction(tool_name="add", arguments={"amount": 0}), timeout_s=0.05)
        gate.open()


def test_an_answer_of_no_known_form_is_told_in_terms_of_the_clients_own_types(serve):
    class Other(EnvClient[Add, Greeting, Tally]):
        pass

    with Other(serve(Counter).url) as env:
        with pytest.raises(InvalidReplyError):
            env.reset()
        with pytest.raises(InvalidReplyError, match=r"observation\.total"):
            env.call_tool("add", amount=1)


def test_an_observation_type_that_takes_anything_does_not_lose_what_a_tool_returned(shared):
    class Lax(Observation):
        model_config = ConfigDict(extra="ignore")
        hint: str = ""

    class LaxEnv(EnvClient[Add, Lax, Hand]):
        pass

    with LaxEnv(shared(Toolbox).url) as env:
        assert env.reset().observation.hint == "try add"
        assert env.call_tool("add", a=1, b=2) == 3


def test_an_observation_type_with_room_for_a_tools_result_is_used(shared):
    class Told(CallToolObservation):
        weight: int = 1

    class ToldEnv(EnvClient[CallToolAction, Told, Hand]):
        pass

    with ToldEnv(shared(Toolbox).url) as env:
        assert (
            isinstance(env.step(CallToolAction(tool_name="x")).observation, Told) if env.state() is None else True
        )
        with pytest.raises(InvalidReplyError):
            env.reset()
        assert type(env.step(CallToolAction(tool_name="finish")).observation) is Told


# --- a wire form of one's own -------------------------------------------------------------------


class Wired(EnvClient[Add, Count, Tally]):
    """Sends and reads actions in its own way, which has no room for tools."""

    def _step_payload(self, action: Add) -> dict[str, Any]:
        return {"amount": action.amount}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[Count]:
        return StepResult(Count(total=payload["observation"]["total"]), payload["reward"], payload["done"])


def test_a_client_with_a_wire_form_of_its_own_calls_tools(shared):
    with Wired(shared(Counter).url) as env:
        env.reset()
        assert env.call_tool("add", amount=4) == Count(total=4)
    with Wired(shared(Toolbox).url) as env:
        with pytest.raises(KeyError):
            env.reset()
        assert env.call_tool("add", a=1, b=2) == 3


def test_a_client_of_tools_with_hooks_of_older_releases_is_asked_for_calls_too(shared_each):
    seen: list[Any] = []

    class Hooked(MCPToolClient):
        def _step_payload(self, action: Any) -> dict[str, Any]:
            seen.append(super()._step_payload(action))
            return seen[-1]

        def _parse_result(self, payload: dict[str, Any]) -> StepResult[Any]:
            result = super()._parse_result(payload)
            seen.append(type(result.observation).__name__)
            return result

        def _parse_state(self, payload: dict[str, Any]) -> Any:
            seen.append(payload["step_count"])
            return super()._parse_state(payload)

    with Hooked(shared_each(Toolbox).url) as env:
        assert env.reset().observation.hint == "try add"
        assert env.call_tool("add", a=1, b=2) == 3
        env.state()
    call = {"type": "call_tool", "tool_name": "add", "arguments": {"a": 1, "b": 2}}
    assert seen == ["GenericMCPObservation", call, "CallToolObservation", 1]


# --- when they are asked for --------------------------------------------------------------------


def test_tools_are_asked_for_once_in_an_episode(shared_each):
    with ToolboxEnv(shared_each(Toolbox).url) as env:
        before = Toolbox.asked
        env.reset()
        for _ in range(3):
            env.list_tools()
            env.has_tool("add")
        assert Toolbox.asked == before + 1
        env.call_tool("add", a=1, b=2)
        assert not env.has_tool("echo")
        assert "echo" in [tool.name for tool in env.list_tools(use_cache=False)]
        assert env.has_tool("echo")
        env.reset()
        assert not env.has_tool("echo")
        assert Toolbox.asked == before + 3


def test_another_session_asks_for_its_own(shared):
    with ToolboxEnv(shared(Toolbox).url) as env:
        env.reset()
        env.call_tool("add", a=1, b=2)
        env.list_tools()
        with env.new_session() as twin:
            assert twin.last_result is None
            assert not twin.has_tool("echo")
        assert env.has_tool("echo")


def test_a_restored_episode_has_its_own(serve):
    class Keeping(Toolbox):
        def get_state(self) -> Any:
            return self.hand.model_dump()

        def set_state(self, value: Any) -> None:
            self.hand = Hand.model_validate(value)

    with ToolboxEnv(serve(Keeping).url) as env:
        env.reset()
        kept = env.snapshot()
        env.call_tool("add", a=1, b=2)
        assert env.has_tool("echo")
        env.restore(kept)
        assert not env.has_tool("echo")


def test_the_list_is_the_callers_own(shared):
    with ToolboxEnv(shared(Toolbox).url) as env:
        env.list_tools().clear()
        assert env.has_tool("add")


@contextmanager
def answering(answers: list[dict[str, Any]]) -> Iterator[tuple[str, list[Any]]]:
    """Serve version 1 on a loop in another thread: each frame is answered by the next of these."""
    asked: list[Any] = []
    loop = asyncio.new_event_loop()

    async def serve(connection: ServerConnection) -> None:
        async for frame in connection:
            asked.append(loads(frame.encode()))
            if asked[-1]["type"] == "close":
                return
            await connection.send(dumps(answers.pop(0)).decode())

    server = loop.run_until_complete(_served(serve))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        asyncio.run_coroutine_threadsafe(server.wait_closed(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _served(serve: Callable[[ServerConnection], Any]) -> Any:
    return await websocket_server(serve, "127.0.0.1", 0)


def rpc(**answer: Any) -> dict[str, Any]:
    return {"type": "mcp", "data": {"jsonrpc": "2.0", "id": 1, **answer}}


NO_TOOLS = {
    "does not support it": rpc(error={"code": -32603, "message": "Environment does not support MCP"}),
    "does not know the method": rpc(error={"code": -32601, "message": "Method not found"}),
    "does not know the frame": {"type": "error", "data": {"code": "UNKNOWN_TYPE", "message": "what?"}},
}


@pytest.mark.parametrize("answer", NO_TOOLS.values(), ids=NO_TOOLS)
def test_a_server_that_knows_nothing_of_tools_has_none(answer):
    with answering([answer]) as (url, asked), ToolboxEnv(url) as env:
        assert env.list_tools() == []
        assert asked[0]["type"] == "mcp"
        assert asked[0]["data"]["method"] == "tools/list"


def test_an_http_server_without_the_route_has_no_tools(host):
    server = host.run(FastAPI())
    with ToolboxHTTP(server.url) as env:
        assert env.list_tools() == []
    server.stop()


def test_tools_come_in_as_many_parts_as_the_server_likes():
    one = {"name": "a", "title": None, "description": None, "inputSchema": {"type": "object"}, "icons": []}
    two = {"name": "b", "input_schema": {"type": "object", "title": "old"}}
    parts = [rpc(result={"tools": [one], "nextCursor": "2"}), rpc(result={"tools": [two], "nextCursor": None})]
    with answering(parts) as (url, asked), ToolboxEnv(url) as env:
        assert [tool.input_schema.get("title") for tool in env.list_tools()] == [None, "old"]
        assert [frame["data"]["params"] for frame in asked] == [{}, {"cursor": "2"}]


WRONG = {
    "no answer": {"type": "mcp", "data": {"jsonrpc": "2.0", "id": 1}},
    "no list": rpc(result={"tools": 5}),
    "no object": rpc(result=[]),
    "no tool in it": rpc(result={"tools": [5]}),
    "no name": rpc(result={"tools": [{"description": "nameless"}]}),
    "a schema that is none": rpc(result={"tools": [{"name": "a", "inputSchema": "int"}]}),
}


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG)
def test_a_list_of_tools_that_is_none_is_told(answer):
    with answering([answer]) as (url, _), ToolboxEnv(url) as env, pytest.raises(InvalidReplyError):
        env.list_tools()


def test_an_error_of_this_project_has_its_class_and_another_its_message():
    lost = {"code": -32000, "message": "gone", "data": {"code": "SESSION_LOST", "message": "it is gone"}}
    odd = {"code": -1, "message": "out of tools"}
    answers = [rpc(error=odd), rpc(error={"code": -32602, "message": "bad"}), rpc(error=lost)]
    with answering(answers) as (url, _), ToolboxEnv(url) as env:
        with pytest.raises(RequestError, match="out of tools"):
            env.list_tools()
        with pytest.raises(InvalidRequestError, match="bad"):
            env.list_tools()
        with pytest.raises(SessionLost, match="it is gone"):
            env.list_tools()


# --- lost connections ---------------------------------------------------------------------------


def test_a_call_under_way_when_the_connection_is_cut_is_executed_once(serve):
    gate = Gate()
    server = serve(gated(gate))

    async def play() -> None:
        async with CounterEnv(server.url) as env:
            await env.reset()
            call = asyncio.create_task(env.call_tool("add", amount=0))
            await asyncio.to_thread(gate.wait_for, 1)
            await asyncio.to_thread(server.cut)
            gate.open()
            assert (await call).total == 0
            assert (await env.state()).step_count == 1

    asyncio.run(play())


@pytest.mark.parametrize("cls", [ToolboxEnv, ToolboxHTTP])
def test_after_a_loss_tools_are_listed_and_a_call_is_refused_until_a_reset(serve_old, cls):
    server = serve_old(Toolbox)
    with cls(server.url) as env:
        env.reset()
        assert env.call_tool("add", a=1, b=2) == 3
        if cls is ToolboxHTTP:
            httpx.delete(server.url + env._core.link._session, trust_env=False).raise_for_status()
        else:
            server.cut()
            assert wait_until(lambda: not env._core.link.connected)
        for _ in range(2):
            assert env.has_tool("add")
            with pytest.raises(SessionLost, match="reset"):
                env.call_tool("add", a=1, b=2)
            with pytest.raises(SessionLost, match="reset"):
                env.state()
        env.reset()
        assert env.call_tool("add", a=1, b=2) == 3
        assert env.capacity().active_sessions == 1
    assert wait_until(lambda: server.manager.capacity().active_sessions == 0)


def test_what_was_connected_to_list_tools_after_a_loss_is_closed_with_the_client(serve_old):
    server = serve_old(Toolbox)
    with ToolboxEnv(server.url) as env:
        env.reset()
        server.cut()
        assert wait_until(lambda: not env._core.link.connected)
        assert env.has_tool("add")
        server.cut()
        assert wait_until(lambda: not env._core._next.connected)
        assert env.has_tool("add")
    assert wait_until(lambda: server.manager.capacity().active_sessions == 0)


@pytest.mark.parametrize("closes_first", [True, False])
async def test_what_a_lease_has_connected_to_goes_back_to_the_pool_with_it(serve_old, closes_first):
    server = serve_old(Toolbox)
    async with EnvPool(ToolboxEnv, [server.url]) as pool:
        lease = pool.lease()
        env = await lease.__aenter__()
        await env.reset()
        server.cut()
        while env._core.link.connected:
            await asyncio.sleep(0)
        assert await env.has_tool("add")
        if closes_first:
            await pool.close()
        await lease.__aexit__(None, None, None)
        with pytest.raises(SessionLost):
            await env.list_tools()
    assert wait_until(lambda: server.manager.capacity().active_sessions == 0)


def test_a_closed_client_lists_no_tools_until_it_is_used_again(shared):
    env = ToolboxEnv(shared(Toolbox).url)
    assert env.has_tool("add")
    env.close()
    with pytest.raises(SessionLost, match="was closed"):
        env.list_tools()
    env.reset()
    assert env.has_tool("add")
    env.close()


class Program:
    """A server in a process of its own, which can be killed and started again on the same port."""

    def __init__(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port = taken.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        what = ["tests.client.toolbox:application", "--factory", "--port", str(self.port)]
        command = [sys.executable, "-m", "uvicorn", *what, "--log-level", "error"]
        self._process = subprocess.Popen(command)
        assert wait_until(self._answers, 30)

    def kill(self) -> None:
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(10)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", trust_env=False).is_success
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    program = Program()
    yield program
    program.kill()


@pytest.mark.slow
@pytest.mark.parametrize("cls", [ToolboxEnv, ToolboxHTTP, MCPToolClient])
def test_after_a_restart_of_the_server_tools_are_listed_and_a_reset_makes_calls_good_again(program, cls):
    with cls(program.url, **({"request_timeout_s": 30} if cls is ToolboxHTTP else {})) as env:
        env.reset()
        assert env.call_tool("add", a=1, b=2) == 3
        assert env.has_tool("add")
        program.kill()
        program.start()
        assert [t.name for t in env.list_tools(use_cache=False)] == ["add", "named", "fetch", "finish"]
        with pytest.raises(SessionLost):
            env.call_tool("add", a=1, b=2)
        env.reset()
        assert env.call_tool("add", a=1, b=2) == 3


def test_tools_are_data_that_other_interfaces_take(shared):
    with ToolboxEnv(shared(Toolbox).url) as env:
        named = [tool["function"]["name"] for tool in env.openai_tools()]
        assert named == [tool["name"] for tool in env.anthropic_tools()] == [t.name for t in env.list_tools()]


def test_an_action_class_is_a_tool_with_its_schema(shared):
    with CounterEnv(shared(Counter).url) as env:
        tool = env.get_tool("add")
    assert isinstance(tool, Tool)
    assert set(tool.input_schema["properties"]) == {"amount", "trouble"}
