"""An environment that has tools of its own, and a program that serves it."""

import threading
from typing import Any

from pydantic import Field

from openenv.environment import Environment
from openenv.mcp import (
    CallToolAction,
    CallToolObservation,
    ListToolsAction,
    ListToolsObservation,
    Tool,
    ToolError,
    ToolErrorType,
)
from openenv.models import Observation, State


class Greeting(Observation):
    """What a reset shows."""

    hint: str = "try add"


class Hand(State):
    """What has been called."""

    calls: list[str] = Field(default_factory=list)


def as_mcp(text: str, **more: Any) -> dict[str, Any]:
    """Return the whole result of an MCP server's tool, as environments hand it on."""
    content = [{"type": "text", "text": text}]
    return {"content": content, "structured_content": None, "data": None, "is_error": False, **more}


class Toolbox(Environment[CallToolAction | ListToolsAction, CallToolObservation | ListToolsObservation, Hand]):
    """Every call has a reward of 0.5; that of `finish` ends the episode."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    asked = 0
    """How often any toolbox has been asked for its tools."""
    _lock = threading.Lock()

    def __init__(self) -> None:
        super().__init__()
        self.hand = Hand()

    def reset(self, seed: int | None = None, episode_id: str | None = None) -> Greeting:
        self.hand = Hand(episode_id=episode_id)
        return Greeting()

    def list_tools(self) -> list[Tool]:
        """Return the tools; `echo` comes with the first call."""
        with Toolbox._lock:
            Toolbox.asked += 1
        names = ["add", "named", "fetch", "finish", *(["echo"] if self.hand.calls else [])]
        return [Tool(name=name, description=f"Do {name}.", input_schema={"type": "object"}) for name in names]

    def step(self, action: CallToolAction | ListToolsAction) -> CallToolObservation | ListToolsObservation:
        if isinstance(action, ListToolsAction):
            return ListToolsObservation(tools=self.list_tools())
        name, arguments = action.tool_name, action.arguments
        self.hand.calls.append(name)
        self.hand.step_count += 1
        shown = CallToolObservation(tool_name=name, reward=0.5, done=name == "finish")
        match name:
            case "add":
                shown.result = arguments["a"] + arguments["b"]
            case "named":
                shown.result = {"name": arguments["name"]}
            case "fetch":
                shown.result = as_mcp("3", **arguments)
            case "finish":
                shown.result = "done"
            case _:
                shown.error = ToolError(error_type=ToolErrorType.TOOL_NOT_FOUND, message=f"no tool {name}")
        return shown

    @property
    def state(self) -> Hand:
        return self.hand


def application() -> Any:
    """Return the application, for a server in a process of its own."""
    from openenv.server.app import create_app

    return create_app(Toolbox)
