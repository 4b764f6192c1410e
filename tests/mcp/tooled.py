"""Environments of tools: Python functions that do everything a tool can do wrong, and server objects of SDKs."""

import asyncio
import threading
from typing import Any

import numpy as np
from pydantic import BaseModel

from openenv.errors import WorkspaceLostError
from openenv.mcp import (
    CallToolAction,
    CallToolObservation,
    MCPEnvironment,
    tool,
)
from openenv.models import Observation, State, StepResult


def call(tool_name: str, **arguments: Any) -> CallToolAction:
    return CallToolAction(tool_name=tool_name, arguments=arguments)


class Episode(MCPEnvironment):
    """What every environment here has beside its tools."""

    def reset(self, seed: int | None = None) -> Observation:
        return Observation()

    @property
    def state(self) -> State:
        return State(episode_id="here")


class Shop(Episode):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.go_on = threading.Event()

    @tool
    def add(self, a: int, b: int = 2) -> int:
        """Add."""
        return a + b

    @tool
    async def add_async(self, a: int) -> int:
        await asyncio.sleep(0)
        return a + 2

    @tool
    def fail(self, kind: str = "ValueError") -> None:
        raise {e.__name__: e for e in FAILURES}[kind]("no")

    @tool
    async def fail_async(self, kind: str = "ValueError") -> None:
        raise {e.__name__: e for e in FAILURES}[kind]("no")

    @tool
    def odd(self) -> Any:
        return {"it": object()}

    @tool
    def not_a_number(self) -> list[float]:
        return [1.0, float("nan")]

    @tool
    def wrong(self) -> str:
        return None  # type: ignore[return-value]

    @tool
    def picture(self):
        return np.zeros((2, 2), dtype=np.uint8)

    @tool
    def hang(self) -> str:
        self.go_on.wait(60)
        return "late"

    @tool
    async def hang_async(self) -> None:
        await asyncio.Event().wait()

    @tool
    def win(self) -> str:
        self.add_reward(0.5)
        self.end_episode(reward=1.0)
        return "won"

    @tool
    def whole(self) -> StepResult[str]:
        return StepResult("cut off", 0.25, truncated=True)

    @tool
    def observed(self) -> CallToolObservation:
        return CallToolObservation(tool_name="observed", result="mine", reward=0.75, done=True)


FAILURES = [
    ValueError,
    RecursionError,
    SystemExit,
    asyncio.CancelledError,
    type("Silent", (Exception,), {"__str__": lambda self: ""}),
    type("Unspeakable", (Exception,), {"__str__": lambda self: 1 / 0}),
]


class Price(BaseModel):
    amount: int


def served(kind: str) -> Any:
    if kind == "fastmcp":
        from fastmcp import FastMCP

        server: Any = FastMCP("x")
    else:
        from mcp.server import MCPServer

        server = MCPServer("x")

    @server.tool()
    def add(a: int, b: int = 2) -> int:
        """Add."""
        return a + b

    @server.tool()
    async def price(name: str) -> Price:
        return Price(amount=len(name))

    @server.tool()
    def text():
        print("this goes to stdout and nowhere else")
        return "said"

    @server.tool()
    def boom() -> str:
        raise ValueError("no")

    @server.tool()
    def leave() -> str:
        raise SystemExit(3)

    @server.tool()
    def not_a_number() -> float:
        return float("nan")

    @server.tool()
    def lose() -> str:
        raise WorkspaceLostError("gone")

    @server.prompt()
    def greet(name: str) -> str:
        """Greet somebody."""
        return f"Hello {name}"

    return server


class Wrapped(Episode):
    SUPPORTS_CONCURRENT_SESSIONS = True

    @tool
    def own(self) -> str:
        return "own"


class ServedFastMCP(Wrapped):
    def __init__(self) -> None:
        super().__init__(served("fastmcp"))
