"""What trainers play here: a tool that adds, at once or after a while, and one that breaks now and then."""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

from openenv.errors import WorkspaceLostError
from openenv.mcp import MCPEnvironment, tool
from openenv.models import Observation, State
from openenv.server import create_app


class Adding(MCPEnvironment):
    """Adds numbers up, for four calls."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    calls = 4
    seconds = 0.0

    async def reset(self, seed: int | None = None) -> Observation:
        await asyncio.sleep(self.seconds)
        self.total = self.left = 0
        return Observation()

    @tool
    async def add(self, amount: int) -> str:
        """Add to the total.

        Args:
            amount: How much.
        """
        await asyncio.sleep(self.seconds)
        self.total += amount
        self.left += 1
        if self.left >= self.calls:
            self.end_episode(reward=float(self.total % 2))
        return f"The total is {self.total}."

    @property
    def state(self) -> Any:
        return State(step_count=self.left)


class Slowly(Adding):
    """Takes a tenth of a second for everything."""

    calls = 1
    seconds = 0.1


class Breaking(MCPEnvironment):
    """Wants to hear one of three letters. One episode in ten breaks, in one of three ways."""

    def reset(self, safe: bool = False) -> Observation:
        broken = random.random() < 0.1 and not safe
        self.trouble = random.choice(("reset", "step", "process")) if broken else ""
        if self.trouble == "reset":
            raise RuntimeError("this reset was to fail")
        return Observation()

    @tool
    def say(self, letter: str) -> str:
        """Say a letter.

        Args:
            letter: One of a, b and c.
        """
        if self.trouble == "process":
            os._exit(1)
        if self.trouble == "step":
            raise WorkspaceLostError("this step was to fail")
        self.end_episode(reward=float(letter == "c"))
        return "Heard."

    @property
    def state(self) -> State:
        return State()


breaking = create_app(Breaking, isolation="process", max_concurrent_envs=64)
adding = create_app(Adding, max_concurrent_envs=128)
slowly = create_app(Slowly, max_concurrent_envs=128)
