"""Environments with something to look at."""

import threading
from typing import Any

from tests.toys import Add, Count, Tally

from openenv.environment import Environment

PIXEL = bytes.fromhex("89504e470d0a1a0a")


class Shown(Environment[Add, Count, Tally]):
    """Adds up; how it is drawn is told by the amount."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    NON_BLOCKING = True

    def reset(self, seed: int | None = None, start: int = 0) -> Count:
        """Begin.

        Args:
            seed: Not used.
            start: Where to begin.
        """
        self.total = start
        return Count(total=start)

    def step(self, action: Add) -> Count:
        if action.trouble == "raise":
            raise LookupError("no such key: 'x'")
        self.total += action.amount
        return Count(total=self.total, reward=float(action.amount), done=self.total >= 100)

    @property
    def state(self) -> Tally:
        return Tally(total=self.total)

    def render_web(self, observation: Count) -> Any:
        drawings: dict[int, Any] = {1: "<b>one</b>", 2: "two", 3: PIXEL, 4: object(), 5: b"<svg></svg>"}
        if observation.total == 6:
            raise ValueError("no ink")
        return drawings.get(observation.total)

    def web_actions(self, observation: Count) -> Any:
        return [("Two", Add(amount=2)), ("Ten", {"amount": 10}), Add(amount=3)]


class Picky(Shown):
    """Begins at nothing below zero."""

    def reset(self, seed: int | None = None, start: int = 0) -> Count:
        if start < 0:
            raise ValueError("nothing is below zero")
        return super().reset(seed, start)


class AsyncShown(Shown):
    """The same, async."""

    NON_BLOCKING = False

    async def step(self, action: Add) -> Count:
        return super().step(action)

    async def render_web(self, observation: Count) -> Any:
        return super().render_web(observation)


class Isolated(Shown):
    """The same, in a process for each session."""

    SUPPORTS_CONCURRENT_SESSIONS = False
    NON_BLOCKING = False


class Slow(Shown):
    """Waits in a step until it is let go, and says so."""

    NON_BLOCKING = False
    gate = threading.Event()

    def step(self, action: Add) -> Count:
        self.progress(0.5, "half of it")
        self.gate.wait(10)
        return super().step(action)

    def close(self) -> None:
        self.gate.set()
