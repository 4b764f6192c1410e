"""Tools as actions and observations, and the JSON-RPC envelopes they travel in.

Listing tools and calling one are actions like any other, told apart by their `type`.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from openenv.models import Action, Model, Observation

RESERVED_TOOL_NAMES = frozenset({"reset", "step", "state", "close"})
"""Names a tool can not have, since an agent must not reach the environment's own verbs."""


class Tool(Model):
    """A tool an environment offers.

    Attributes:
        name: What to call it by.
        description: What it does, for the model.
        input_schema: JSON Schema of its arguments.
    """

    name: str
    description: str = ""
    input_schema: dict[str, Any] = Field(default_factory=dict)


class ToolErrorType(StrEnum):
    """Why a tool call failed."""

    EXECUTION_ERROR = "execution_error"
    INVALID_ARGS = "invalid_args"
    TRANSPORT_ERROR = "transport_error"
    TOOL_NOT_FOUND = "tool_not_found"
    TIMEOUT = "timeout"


class ToolError(Model):
    """A failed tool call, as the agent sees it."""

    error_type: ToolErrorType
    message: str


class ListToolsAction(Action):
    """Ask which tools there are."""

    type: Literal["list_tools"] = "list_tools"


class CallToolAction(Action):
    """Call a tool.

    Attributes:
        tool_name: Its name.
        arguments: Its arguments by name.
    """

    type: Literal["call_tool"] = "call_tool"
    tool_name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class ListToolsObservation(Observation):
    """The tools there are."""

    tools: list[Tool] = Field(default_factory=list)


class CallToolObservation(Observation):
    """What a tool returned, or why it did not.

    Attributes:
        tool_name: Which tool was called.
        result: What it returned.
        error: Set if the call failed.
    """

    tool_name: str
    result: Any = None
    error: ToolError | None = None


class McpMethod(StrEnum):
    """The JSON-RPC methods an environment answers."""

    TOOLS_LIST = "tools/list"
    TOOLS_CALL = "tools/call"


class JsonRpcErrorCode(IntEnum):
    """Error codes of JSON-RPC 2.0."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    SERVER_ERROR = -32000


class JsonRpcError(BaseModel):
    """Why a JSON-RPC call failed."""

    code: int
    message: str
    data: Any = None


class JsonRpcRequest(BaseModel):
    """A JSON-RPC call."""

    model_config = ConfigDict(extra="forbid")

    jsonrpc: Literal["2.0"]
    id: str | int | None = None
    method: str
    params: dict[str, Any] = Field(default_factory=dict)


class JsonRpcResponse(BaseModel):
    """The answer to a JSON-RPC call: a result or an error."""

    jsonrpc: Literal["2.0"] = "2.0"
    id: str | int | None = None
    result: Any = None
    error: JsonRpcError | None = None
