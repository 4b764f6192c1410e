"""Tools: what an environment offers an agent to call, and the types in which they are offered and called.

`functions` makes tools of Python functions, `toolbox` calls them, `environment` has `MCPEnvironment`, whose actions
are tool calls; `types` is what travels, `forms` what language models take.
"""

from openenv.mcp.environment import MCPEnvironment
from openenv.mcp.forms import anthropic_tools, openai_tools
from openenv.mcp.functions import prompt, tool
from openenv.mcp.toolbox import Toolbox
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

__all__ = [
    "RESERVED_TOOL_NAMES",
    "CallToolAction",
    "CallToolObservation",
    "ListToolsAction",
    "ListToolsObservation",
    "MCPEnvironment",
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
