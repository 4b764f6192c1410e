"""What goes to the echo environment and what comes back."""

from typing import Any

from pydantic import Field

from openenv.mcp import OfferedTools, ToolError
from openenv.models import Action, Observation


class EchoAction(Action):
    """A message to be echoed.

    Attributes:
        message: Any text.
    """

    message: str


class EchoObservation(Observation):
    """The echo. Which fields are set depends on the action.

    Attributes:
        echoed_message: The message, after an `EchoAction`; a greeting after a reset.
        message_length: Its length in characters.
        tool_name: The tool, after a `CallToolAction`.
        result: What the tool returned.
        error: Why the tool call failed.
        tools: The tools, after a `ListToolsAction`.
    """

    echoed_message: str = ""
    message_length: int = Field(default=0, ge=0)
    tool_name: str | None = None
    result: Any = None
    error: ToolError | None = None
    tools: OfferedTools = Field(default_factory=list)
