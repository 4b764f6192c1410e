"""What trainers play here: a tool that adds, at once or after a while."""

from __future__ import annotations

import asyncio
from typing import Any

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


adding = create_app(Adding, max_concurrent_envs=128)
slowly = create_app(Slowly, max_concurrent_envs=128)
