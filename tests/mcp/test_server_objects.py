"""`MCPEnvironment` with the tools of a server object of an MCP SDK in the same process."""

import asyncio

import pytest
from tests.mcp.tooled import Wrapped, call, served

from openenv.environment.adapter import Adapter
from openenv.errors import ConfigurationError, InvalidRequestError, WorkspaceLostError
from openenv.mcp import (
    ListToolsAction,
    ToolErrorType,
)
from openenv.models import StepResult
from openenv.protocol.encoding import encode_result


@pytest.fixture(params=["fastmcp", "mcp"])
def wrapped(request) -> Wrapped:
    return Wrapped(served(request.param))


def test_the_tools_of_a_server_object_are_tools_beside_its_own(wrapped):
    tools = {one.name: one for one in wrapped.step(ListToolsAction()).tools}
    assert set(tools) == {"own", "add", "price", "text", "boom", "leave", "not_a_number", "lose"}
    assert tools["add"].description == "Add."
    assert tools["add"].input_schema["required"] == ["a"]
    assert wrapped.step(call("own")).result == "own"
    assert wrapped.get_callables()["own"]() == "own"
    assert wrapped.get_callables()["add"](a=1) == 3


def test_a_result_of_a_server_object_has_the_form_it_had_in_earlier_releases(wrapped):
    result = wrapped.step(call("add", a=1)).result
    meta = result.pop("meta")
    assert meta in (None, {"fastmcp": {"wrap_result": True}})
    assert result == {
        "content": [{"type": "text", "text": "3", "annotations": None, "meta": None}],
        "structured_content": {"result": 3},
        "data": 3,
        "is_error": False,
    }
    assert wrapped.step(call("price", name="tea")).result["data"] == {"amount": 3}
    assert wrapped.step(call("text")).result["content"][0]["text"] == "said"


@pytest.mark.parametrize(
    ("action", "why", "says"),
    [
        (call("nope"), ToolErrorType.TOOL_NOT_FOUND, "Unknown tool: 'nope'. The tools are: own, add, price"),
        (call("boom"), ToolErrorType.EXECUTION_ERROR, "Error calling tool 'boom': no"),
        (call("leave"), ToolErrorType.EXECUTION_ERROR, "Error calling tool 'leave': SystemExit(3)"),
        (call("add", a="zz"), ToolErrorType.INVALID_ARGS, "Wrong arguments for tool 'add': a: Input should be"),
        (call("add"), ToolErrorType.INVALID_ARGS, "It takes: a, b (optional)"),
    ],
    ids=lambda value: getattr(value, "tool_name", None),
)
def test_a_call_to_a_server_object_that_goes_wrong_is_answered(wrapped, action, why, says):
    answer = wrapped.step(action)
    assert answer.error.error_type is why
    assert says in answer.error.message
    assert answer.result is None


def test_what_json_can_not_say_is_never_the_result_of_a_server_object(wrapped):
    answer = wrapped.step(call("not_a_number"))  # FastMCP makes null of it
    assert answer.error is not None or answer.result["data"] is None
    assert encode_result(StepResult(answer))


def test_what_the_agent_has_no_part_in_is_raised_from_a_server_object_too(wrapped):
    with pytest.raises(WorkspaceLostError, match="gone"):
        wrapped.step(call("lose"))


async def test_the_prompts_of_a_server_object_are_prompts(wrapped):
    (listed,) = await wrapped.list_prompts()
    assert (listed.name, [one.name for one in listed.arguments]) == ("greet", ["name"])
    (message,) = await wrapped.get_prompt("greet", {"name": "Ada"})
    assert (message["role"], message["content"]["text"]) == ("user", "Hello Ada")
    with pytest.raises(InvalidRequestError):
        await wrapped.get_prompt("nope")


def test_a_tool_of_fastmcp_that_asks_for_its_context_has_one_and_tells_its_progress_by_it():
    from fastmcp import Context

    server = served("fastmcp")

    @server.tool
    async def report(context: Context) -> str:
        await context.report_progress(1, 2, "half")
        await context.report_progress(5)
        return "done"

    told = []
    wrapped = Wrapped(server)
    Adapter(wrapped).listen(told.append)
    assert wrapped.step(call("report")).result["data"] == "done"
    assert told == [{"fraction": 0.5, "message": "half"}, {"fraction": None, "message": ""}]


def test_a_tool_of_a_server_object_that_hangs_is_given_up():
    server = served("fastmcp")

    @server.tool
    async def hang() -> None:
        await asyncio.Event().wait()

    assert Wrapped(server).step(call("hang"), timeout_s=0.05).error.error_type is ToolErrorType.TIMEOUT


def test_a_server_object_with_a_reserved_name_is_refused_when_the_environment_is_made(wrapped):
    wrapped.mcp_server.tool(name="reset")(lambda: "no")
    with pytest.raises(ValueError, match=r"cannot use reserved names: \['reset'\]"):
        Wrapped(wrapped.mcp_server)


def test_what_is_no_server_object_is_refused():
    with pytest.raises(ConfigurationError, match="str is no MCP server that is known here"):
        Wrapped("http://127.0.0.1/mcp")
