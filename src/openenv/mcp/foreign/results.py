"""What an MCP server's tools are and return, in the terms of an environment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import mcp_types as types
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from mcp import MCPError

from openenv.mcp.types import RESERVED_TOOL_NAMES, CallToolObservation, Tool, ToolError, ToolErrorType

__all__ = ["failed", "named", "observed", "refused", "tool"]

RENAMED = "server_"
"""What is put before the name of a tool that is called like one of the environment's own verbs."""


def named(tools: Iterable[types.Tool]) -> dict[str, types.Tool]:
    """Return the server's tools by the names an agent calls them: their own, but for the reserved ones."""
    tools = list(tools)
    taken = {found.name for found in tools} | RESERVED_TOOL_NAMES
    names: dict[str, types.Tool] = {}
    for found in tools:
        name = found.name
        while name in RESERVED_TOOL_NAMES or (name != found.name and name in taken):
            name = RENAMED + name
        names[name] = found
    return names


def tool(name: str, found: types.Tool) -> Tool:
    """Return a server's tool as an environment offers it."""
    return Tool(
        name=name, description=found.description or found.title or "", input_schema=dict(found.input_schema)
    )


def observed(
    name: str, found: types.Tool, arguments: dict[str, Any], result: types.CallToolResult
) -> CallToolObservation:
    """Return what a tool's result is to the agent.

    Structured content as it is, without what FastMCP and the official SDK wrap around values that are no object;
    else the text; else the blocks of content as plain values, where there is anything but text.
    """
    if result.is_error:
        kind = ToolErrorType.EXECUTION_ERROR if _fit(found, arguments) else ToolErrorType.INVALID_ARGS
        return failed(name, kind, str(_content(result.content) or "The tool failed and did not say why"))
    structured = result.structured_content
    if structured is None:
        return CallToolObservation(tool_name=name, result=_content(result.content))
    if _is_wrapped(found, result) and isinstance(structured, dict) and structured.keys() == {"result"}:
        structured = structured["result"]
    return CallToolObservation(tool_name=name, result=structured)


def refused(name: str, found: types.Tool, arguments: dict[str, Any], error: MCPError) -> CallToolObservation:
    """Return what the agent sees where the server answered with an error of the protocol."""
    wrong = error.code == types.INVALID_PARAMS or not _fit(found, arguments)
    kind = ToolErrorType.INVALID_ARGS if wrong else ToolErrorType.EXECUTION_ERROR
    return failed(name, kind, error.message)


def failed(name: str, kind: ToolErrorType, message: str) -> CallToolObservation:
    """Return the observation of a call that failed."""
    return CallToolObservation(tool_name=name, error=ToolError(error_type=kind, message=message))


def _content(blocks: list[Any]) -> Any:
    if not blocks:
        return None
    if all(isinstance(block, types.TextContent) for block in blocks):
        return "\n".join(block.text for block in blocks)
    return [block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in blocks]


def _is_wrapped(found: types.Tool, result: types.CallToolResult) -> bool:
    """Whether `{"result": x}` stands for x: by FastMCP's mark, or by the form of the official SDK's schema."""
    schema = found.output_schema or {}
    mark = (result.meta or {}).get("fastmcp")
    if schema.get("x-fastmcp-wrap-result") or (isinstance(mark, dict) and mark.get("wrap_result")):
        return True
    properties, title = schema.get("properties"), schema.get("title")
    return (
        isinstance(properties, dict)
        and properties.keys() == {"result"}
        and isinstance(title, str)
        and title == f"{found.name}Output"
    )


def _fit(found: types.Tool, arguments: dict[str, Any]) -> bool:
    """Whether the arguments are what the tool's schema says; also where nobody can tell."""
    try:
        Draft202012Validator.check_schema(found.input_schema)
        return bool(Draft202012Validator(found.input_schema).is_valid(arguments))
    except (SchemaError, Exception):
        return True
