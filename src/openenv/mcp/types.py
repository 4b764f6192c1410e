"""Tools as actions and observations, and the JSON-RPC envelopes they travel in.

Listing tools and calling one are actions like any other, told apart by their `type`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_serializer

from openenv.models import Action, Model, Observation

RESERVED_TOOL_NAMES = frozenset({"reset", "step", "state", "close"})
"""Names a tool can not have, since an agent must not reach the environment's own verbs."""


class Tool(Model):
    """A tool an environment offers.

    An observation that lists tools (`OfferedTools`) has the first three fields of each only, for clients of earlier
    releases refuse a tool with others.

    Attributes:
        name: What to call it by.
        description: What it does, for the model.
        input_schema: JSON Schema of its arguments.
        output_schema: JSON Schema of what it returns; None if that is not known.
        title: Its name as people are shown it.
        annotations: MCP's hints about it, such as `readOnlyHint`.
    """

    name: str
    description: str = ""
    input_schema: dict[str, Any] = Field(default_factory=dict)
    output_schema: dict[str, Any] | None = None
    title: str | None = None
    annotations: dict[str, Any] | None = None

    @model_serializer(mode="wrap")
    def _known(self, dump: Any):  # type: ignore[no-untyped-def]  # what it returns would be the schema
        return {name: value for name, value in dump(self).items() if name in _OLD_FIELDS or value is not None}

    def to_mcp(self) -> dict[str, Any]:
        """Return it as MCP's `tools/list` has it; what is not known is left out."""
        shown: dict[str, Any] = {"name": self.name}
        if self.title:
            shown["title"] = self.title
        if self.description:
            shown["description"] = self.description
        shown["inputSchema"] = {**self.input_schema, "type": "object"}
        if self.output_schema is not None:
            shown["outputSchema"] = self.output_schema
        if self.annotations:
            shown["annotations"] = self.annotations
        return shown

    @classmethod
    def from_mcp(cls, shown: Mapping[str, Any]) -> Tool:
        """Return the tool that an entry of MCP's `tools/list` describes; other keys are ignored."""
        return cls(
            name=shown["name"],
            description=shown.get("description") or "",
            input_schema=shown.get("inputSchema") or {},
            output_schema=shown.get("outputSchema"),
            title=shown.get("title"),
            annotations=shown.get("annotations"),
        )

    def to_openai(self) -> dict[str, Any]:
        """Return it as an entry of `tools` of the OpenAI API.

        Raises:
            ConfigurationError: That API takes no tool of this name.
        """
        from openenv.mcp.forms import openai_tool

        return openai_tool(self)

    def to_anthropic(self) -> dict[str, Any]:
        """Return it as an entry of `tools` of the Anthropic API.

        Raises:
            ConfigurationError: That API takes no tool of this name.
        """
        from openenv.mcp.forms import anthropic_tool

        return anthropic_tool(self)


_OLD_FIELDS = frozenset({"name", "description", "input_schema"})


def _as_ever(tools: list[Tool]) -> list[Tool]:
    return [
        Tool(name=tool.name, description=tool.description, input_schema=tool.input_schema)
        if tool.output_schema is not None or tool.title is not None or tool.annotations is not None
        else tool
        for tool in tools
    ]


OfferedTools = Annotated[list[Tool], AfterValidator(_as_ever)]
"""The tools in an observation, which clients of earlier releases can read, too."""


class PromptArgument(Model):
    """An argument of a prompt: a text, as MCP has it.

    Attributes:
        name: Its name.
        description: What it is, for people.
        required: Whether the prompt can not be had without it.
    """

    name: str
    description: str = ""
    required: bool = False


class Prompt(Model):
    """A prompt an environment offers: messages to begin a conversation with, made from arguments.

    Attributes:
        name: What to ask for it by.
        description: What it is for.
        arguments: What it is made from.
        title: Its name as people are shown it.
    """

    name: str
    description: str = ""
    arguments: list[PromptArgument] = Field(default_factory=list)
    title: str | None = None


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

    tools: OfferedTools = Field(default_factory=list)


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
