"""The trivial tool: as an environment of ours, and on a server of the official SDK."""

from __future__ import annotations

import sys


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def ours(port: int) -> None:
    """Serve the tool by an environment."""
    from openenv.mcp import (
        CallToolAction,
        CallToolObservation,
        ListToolsAction,
        ListToolsObservation,
        MCPEnvironment,
    )
    from openenv.models import Observation, State
    from openenv.server import create_app, serve

    class Adding(MCPEnvironment):
        SUPPORTS_CONCURRENT_SESSIONS = True
        NON_BLOCKING = True

        def __init__(self) -> None:
            super().__init__()
            self.tool()(add)

        def reset(self) -> Observation:
            return Observation()

        @property
        def state(self) -> State:
            return State()

    calls, answers = CallToolAction | ListToolsAction, CallToolObservation | ListToolsObservation
    serve(create_app(Adding, calls, answers, max_concurrent_envs=200), port=port, log_level="warning")


def official(port: int) -> None:
    """Serve the tool by the official SDK."""
    from mcp.server import MCPServer

    server = MCPServer("adding", log_level="ERROR")
    server.tool()(add)
    server.run("streamable-http", host="127.0.0.1", port=port, json_response=True)


if __name__ == "__main__":
    {"ours": ours, "official": official}[sys.argv[1]](int(sys.argv[2]))
