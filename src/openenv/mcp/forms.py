"""Tools in the forms that the APIs of language models take."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from openenv.errors import ConfigurationError

if TYPE_CHECKING:
    from openenv.mcp.types import Tool

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def openai_tool(tool: Tool) -> dict[str, Any]:
    """Return a tool as an entry of `tools` of the OpenAI API (chat completions).

    Raises:
        ConfigurationError: The API takes no tool of this name.
    """
    function = {"name": _taken(tool, "OpenAI"), "description": tool.description, "parameters": _parameters(tool)}
    return {"type": "function", "function": function}


def anthropic_tool(tool: Tool) -> dict[str, Any]:
    """Return a tool as an entry of `tools` of the Anthropic API (messages).

    Raises:
        ConfigurationError: The API takes no tool of this name.
    """
    return {
        "name": _taken(tool, "Anthropic"),
        "description": tool.description,
        "input_schema": _parameters(tool),
    }


def openai_tools(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """Return tools as `tools` of the OpenAI API; see `openai_tool`."""
    return [openai_tool(tool) for tool in tools]


def anthropic_tools(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """Return tools as `tools` of the Anthropic API; see `anthropic_tool`."""
    return [anthropic_tool(tool) for tool in tools]


def _taken(tool: Tool, api: str) -> str:
    if not _NAME.fullmatch(tool.name):
        raise ConfigurationError(
            f"The {api} API takes no tool of the name {tool.name!r}: give it one of 1 to 64 letters, digits, "
            "'_' and '-'"
        )
    return tool.name


def _parameters(tool: Tool) -> dict[str, Any]:
    """Return the schema of the arguments; both APIs want one of an object with properties."""
    return {"type": "object", "properties": {}, **tool.input_schema}
