"""What tools and their calls look like on the wire, and what they mean to a caller.

The answer to a call is looked at for a tool's own result first, because an observation type that takes whatever it
is given would lose it; a client whose observations have a `tool_name` themselves reads its own first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeGuard

from pydantic import BaseModel, ValidationError

from openenv import values
from openenv.errors import InvalidReplyError, RequestError, ToolCallError
from openenv.mcp.types import (
    CallToolAction,
    CallToolObservation,
    JsonRpcErrorCode,
    ListToolsAction,
    ListToolsObservation,
    Tool,
)
from openenv.models import State, StepResult
from openenv.protocol.client_codec import ClientCodec
from openenv.protocol.unions import members

if TYPE_CHECKING:
    from openenv.protocol.formats import Incoming

TOOL_ACTIONS: frozenset[type] = frozenset((CallToolAction, ListToolsAction))
"""Actions that every environment takes, whatever its own are."""

_TOLD: dict[type, bytes] = {CallToolAction: b'"tool_name"', ListToolsAction: b'"tools"'}
"""A name in the observation of each."""

_CODES = {
    JsonRpcErrorCode.PARSE_ERROR: "INVALID_JSON",
    JsonRpcErrorCode.INVALID_PARAMS: "VALIDATION_ERROR",
    JsonRpcErrorCode.METHOD_NOT_FOUND: "UNKNOWN_TYPE",
}
"""Codes of this project for those of JSON-RPC that mean the same."""


# --- tools ---------------------------------------------------------------------------------------


def tools_of(result: Any) -> list[Tool]:
    """Return the tools that an answer to `tools/list` names. What is not known of them is passed over.

    Raises:
        InvalidReplyError: It names none, in no form that is known.
    """
    told = result.get("tools") if isinstance(result, dict) else None
    if not isinstance(told, list):
        raise InvalidReplyError(f"The server's answer is no list of tools: {str(result)[:200]}")
    return [_tool(one) for one in told]


def _tool(told: Any) -> Tool:
    if not isinstance(told, dict):
        raise InvalidReplyError(f"The server's list of tools has something in it that is none: {str(told)[:200]}")
    schema = told.get("inputSchema", told.get("input_schema"))  # which is how older servers spell it
    try:
        return Tool.from_mcp({**told, "inputSchema": schema})
    except KeyError:
        raise InvalidReplyError("A tool of the server's list has no name") from None
    except ValidationError as error:
        raise InvalidReplyError(f"A tool of the server's list is malformed: {values.reason(error)}") from error


def lists_no_tools(error: RequestError) -> bool:
    """Return whether an error says that this server has no tools, as older ones do."""
    return error.code == "UNKNOWN_TYPE" or "does not support MCP" in error.message


# --- JSON-RPC ------------------------------------------------------------------------------------


def rpc_result(answer: Any) -> Any:
    """Return the result of a JSON-RPC answer.

    Raises:
        RequestError: It is an error; one of this project's has its class.
        InvalidReplyError: It is neither.
    """
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        raise rpc_error(answer["error"])
    if not isinstance(answer, dict) or "result" not in answer:
        raise InvalidReplyError(f"The server's answer is no JSON-RPC answer: {str(answer)[:200]}")
    return answer["result"]


def rpc_error(error: Mapping[str, Any]) -> RequestError:
    """Return the exception that the `error` of a JSON-RPC answer stands for."""
    message, code, data = str(error.get("message", "")), error.get("code"), error.get("data")
    if isinstance(data, dict) and isinstance(data.get("code"), str):
        return RequestError.from_wire({"message": message, **data})
    known = _CODES.get(code, "REQUEST_ERROR") if isinstance(code, int) else "REQUEST_ERROR"  # type: ignore[call-overload]
    return RequestError.from_wire({"message": message, "code": known})


# --- results of calls ----------------------------------------------------------------------------


@cache
def reads_calls(codec: ClientCodec) -> bool:
    """Return whether a client's own observation type has a place for what a tool returns."""
    return any(
        not (isinstance(one, type) and issubclass(one, BaseModel)) or "tool_name" in one.model_fields
        for one in members(codec.observation)
    )


@cache
def takes_tool_actions(codec: ClientCodec) -> bool:
    """Return whether the calls of tools are among a client's own actions."""
    return any(
        isinstance(one, type) and issubclass(one, (CallToolAction, ListToolsAction))
        for one in members(codec.action)
    )


def step_result(codec: ClientCodec, action: type, reply: Incoming) -> StepResult[Any]:
    """Return the result that the answer to one of `TOOL_ACTIONS` stands for; raises like `ClientCodec.answer`.

    Args:
        codec: Of the client's own types.
        action: The class of the action.
        reply: The answer.
    """
    own, tools = codec.answer, _codec(action).answer
    told = type(reply.raw) is not bytes or _TOLD[action] in reply.raw  # spares the other a look
    first, second = (tools, own) if told and not reads_calls(codec) else (own, tools)
    try:
        return first(reply)
    except InvalidReplyError:
        try:
            return second(reply)
        except InvalidReplyError:
            return own(reply)  # which tells how it does not fit this client


def own_result(
    action: type, data: dict[str, Any], parse: Callable[[dict[str, Any]], StepResult[Any]]
) -> StepResult[Any]:
    """Do the same for a client with a `_parse_result` that knows nothing of tools."""
    try:
        return _codec(action).parse_result(data)
    except InvalidReplyError:
        return parse(data)


def fits(codec: ClientCodec, value: dict[str, Any]) -> bool:
    """Return whether what a tool returned is an observation of a client's own type."""
    if reads_calls(codec):
        return False
    try:
        codec.parse_result({"observation": value})
    except InvalidReplyError:
        return False
    return True


@cache
def _codec(action: type) -> ClientCodec:
    return ClientCodec(action, CallToolObservation if action is CallToolAction else ListToolsObservation, State)


def returned(name: str, result: StepResult[Any]) -> Any:
    """Return what a tool returned, or the observation, if that is what the call of an action gave.

    Raises:
        ToolCallError: The call has failed.
    """
    observation = result.observation
    told = _told_by_tool(observation)
    if told is None:
        return observation
    error, value = told.get("error"), told.get("result")
    if error:
        raise _failed(name, dict(error), result)
    if not _is_mcp_result(value):
        return value
    content = value["content"]
    if value["is_error"]:
        raise _failed(name, {"message": text_of(content)}, result)
    return unwrapped(value.get("data"), value.get("structured_content"), content)


def unwrapped(data: Any, structured: Any, content: list[Any]) -> Any:
    """Return the value of an MCP result: its data, else its structured content, else its text, else all of it."""
    if data is not None:
        return data
    if structured is not None or not content:
        return structured
    return content[0]["text"] if len(content) == 1 and content[0].get("type") == "text" else content


def text_of(content: list[Any]) -> str:
    """Return the text in the content of an MCP result."""
    return "\n".join(str(block.get("text")) for block in content if block.get("type") == "text")


def _told_by_tool(observation: Any) -> dict[str, Any] | None:
    """Return the fields of an observation that holds what a tool returned; None for any other."""
    if isinstance(observation, CallToolObservation):
        error = observation.error
        return {"result": observation.result, "error": error and error.model_dump(mode="json")}
    if isinstance(observation, dict) and "tool_name" in observation and observation.keys() & {"result", "error"}:
        return observation
    return None


def _is_mcp_result(value: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether a value is the whole result of an MCP server's tool, as `MCPEnvironment` hands it on."""
    if not isinstance(value, dict) or not {"content", "data", "is_error"} <= value.keys():
        return False
    content = value["content"]
    return isinstance(content, list) and all(isinstance(b, dict) and "type" in b for b in content)


def _failed(name: str, error: Mapping[str, Any], result: StepResult[Any]) -> ToolCallError:
    message = f"Tool {name!r} failed: {error.get('message', '')}"
    kind = str(error.get("error_type", "execution_error"))
    return ToolCallError(message, tool_name=name, error_type=kind, result=result)
