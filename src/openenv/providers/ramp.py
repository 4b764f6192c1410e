"""How many servers an engine is asked for at the same time."""

from __future__ import annotations

import random
import time

__all__ = ["Ramp"]

FIRST_AT_ONCE = 2
SLOW_FACTOR = 2.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0


class Ramp:
    """How many servers may start at the same time: more while starts stay quick, fewer when they slow down or fail.

    An engine that gets a hundred orders at once fulfils none of them in time. Where its limit is, only it knows.

    Args:
        at_most: Never more than these.
    """

    def __init__(self, at_most: int) -> None:
        self.at_once = min(FIRST_AT_ONCE, at_most)
        self._at_most = at_most
        self._quickest = float("inf")
        self._failures = 0
        self._not_before = 0.0

    def room(self, starting: int) -> int:
        """Return how many more may be started now."""
        return 0 if time.monotonic() < self._not_before else max(0, self.at_once - starting)

    @property
    def pause_s(self) -> float:
        """Seconds until the next start is allowed."""
        return max(0.0, self._not_before - time.monotonic())

    def succeeded(self, took_s: float) -> None:
        """A start took so long."""
        self._failures = 0
        self._quickest = min(self._quickest, took_s)
        step = 1 if took_s <= SLOW_FACTOR * self._quickest else -1
        self.at_once = min(self._at_most, max(1, self.at_once + step))

    def failed(self) -> None:
        """A start failed: go slower, and wait, longer each time and not in step with other programs."""
        self.at_once = max(1, self.at_once // 2)
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**self._failures)
        self._failures += 1
        self._not_before = time.monotonic() + pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load
