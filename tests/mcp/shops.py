"""Environments with tools, and with actions that are tools."""

import asyncio
import os
import random
import sys
import threading
from typing import Any

from pydantic import Field

from openenv.environment import Environment
from openenv.mcp import MCPEnvironment, prompt, tool
from openenv.models import Action, Observation, State, StepResult


class GuessAction(Action):
    """Guess the number.

    Attributes:
        number: What it is.
    """

    number: int = Field(ge=0, le=99, description="Your guess.")


class AskAction(Action):
    """Ask whether the number is even."""

    politely: bool = True


class Hint(Observation):
    """What the host of the game says."""

    text: str = ""
    tries_left: int = 0


class Guessing(Environment[GuessAction | AskAction, Hint, State]):
    """Find a number from 0 to 99 in seven steps."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    NON_BLOCKING = True

    def reset(self, seed: int | None = None) -> Hint:
        self.number = random.Random(seed).randrange(100)
        self.left = 7
        return self._hint("I have thought of a number")

    def step(self, action: GuessAction | AskAction) -> Hint | StepResult[Hint]:
        self.left -= 1
        if isinstance(action, AskAction):
            return self._hint("even" if self.number % 2 == 0 else "odd", reward=-0.5)
        if action.number == self.number:
            return self._hint("right", reward=10.0, done=True)
        hint = self._hint("higher" if action.number < self.number else "lower", reward=-1.0)
        return StepResult(hint, -1.0, truncated=True) if self.left == 0 else hint

    @property
    def state(self) -> State:
        return State(step_count=7 - self.left)

    def _hint(self, text: str, **fields: Any) -> Hint:
        return Hint(text=text, tries_left=self.left, **fields)


class Shop(MCPEnvironment):
    """Sells apples. The purse has 3 coins; the episode is over when it is empty."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    gate = threading.Event()

    def reset(self, seed: int | None = None) -> Observation:
        self.coins = 3
        self.told = False
        return Observation(metadata={"coins": 3})

    @tool
    def buy(self, count: int = 1) -> int:
        """Buy apples.

        Args:
            count: How many.
        """
        self.coins -= count
        self.add_reward(float(count))
        if self.coins <= 0:
            self.end_episode()
        return self.coins

    @tool
    def fail(self) -> str:
        """Fail."""
        raise ValueError("out of apples")

    @tool
    def loud(self) -> str:
        """Print where a protocol may be spoken."""
        print("noise")
        sys.stdout.flush()
        os.write(1, b"more noise\n")
        return "quiet"

    @tool
    async def dawdle(self) -> str:
        """Take for ever, and say how far it is."""
        self.progress(0.25, "a quarter")
        await asyncio.to_thread(self.gate.wait, 30)
        return "done"

    @tool
    def flood(self, megabytes: int) -> str:
        """Return a lot."""
        return "x" * (megabytes * 1_000_000)

    @tool
    def strange(self) -> Any:
        """Return what no JSON can say."""
        return object()

    @tool
    def open_cellar(self) -> str:
        """Make another tool."""
        self.tool()(self.descend)
        self.tools_changed()
        return "There is a ladder"

    def descend(self) -> str:
        """Go down."""
        return "It is dark"

    @tool(mode="production")
    def pay(self) -> str:
        """Pay with money."""
        return "real money"

    @tool(mode="simulation", name="pay")
    def pretend_to_pay(self) -> str:
        """Pay with nothing."""
        return "play money"

    @prompt
    def haggle(self, item: str) -> str:
        """Ask for a better price."""
        return f"How much is the {item} for me?"

    @property
    def state(self) -> State:
        return State(coins=self.coins)
