"""Tools: what an environment offers an agent to call, and the types in which they are offered and called.

`functions` makes tools of Python functions, `toolbox` calls them, `environment` has `MCPEnvironment`, whose actions
are tool calls, `foreign` makes one of somebody else's MCP server; `types` is what travels, `forms` what language
models take. The types are all that a client needs; the rest is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from openenv.mcp.types import (
    RESERVED_TOOL_NAMES,
    CallToolAction,
    CallToolObservation,
    ListToolsAction,
    ListToolsObservation,
    OfferedTools,
    Prompt,
    PromptArgument,
    Tool,
    ToolError,
    ToolErrorType,
)

if TYPE_CHECKING:
    from openenv.mcp.environment import MCPEnvironment
    from openenv.mcp.forms import anthropic_tools, openai_tools
    from openenv.mcp.functions import prompt, tool
    from openenv.mcp.toolbox import Toolbox

_HOMES = {
    "MCPEnvironment": "environment",
    "MCPServerEnvironment": "foreign",
    "Toolbox": "toolbox",
    "anthropic_tools": "forms",
    "openai_tools": "forms",
    "prompt": "functions",
    "tool": "functions",
}

__all__ = [
    "RESERVED_TOOL_NAMES",
    "CallToolAction",
    "CallToolObservation",
    "ListToolsAction",
    "ListToolsObservation",
    "MCPEnvironment",
    "MCPServerEnvironment",
    "OfferedTools",
    "Prompt",
    "PromptArgument",
    "Tool",
    "ToolError",
    "ToolErrorType",
    "Toolbox",
    "anthropic_tools",
    "openai_tools",
    "prompt",
    "tool",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"openenv.mcp.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
