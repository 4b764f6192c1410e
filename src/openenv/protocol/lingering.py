"""Staying awake for a moment where the next frame is about to come.

A process that sleeps until a frame is there has to be woken, and its processor too, and starts with cold caches.
Where the other side answers in less time than that takes, looking for its frame until it comes is faster and costs
less processor time. Each connection finds out for itself: it stays awake only if the frame before came within the
same moment. So one that waits for a slow environment, or for a program that thinks about its next action, sleeps.

On a busy machine it is the other way round: whoever sleeps is let in as soon as there is work, and whoever stays
awake uses its share up and then waits its turn. So what was lost by staying awake, be it a moment in which nothing
came or the time for which others had the processor, is made up for by a rest a hundred times as long.
"""

from __future__ import annotations

import asyncio
from time import perf_counter

MOMENT_S = 150e-6
REST = 100
"""Times what was lost, for which a connection sleeps as ever."""


class Lingering:
    """Keeps an event loop awake for one connection. Make it on that loop."""

    __slots__ = ("_awake", "_loop", "_rested", "_since", "_soon", "_until")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._awake = False  # whether a turn is scheduled
        self._soon = False  # whether the last frame came within the moment
        self._since = 0.0
        self._until = 0.0  # 0 while nothing is waited for
        self._rested = 0.0

    def expect(self) -> None:
        """A frame is waited for from now on."""
        self._since = now = perf_counter()
        if self._soon and now >= self._rested:
            self._until = now + MOMENT_S
            if not self._awake:
                self._awake = True
                self._loop.call_soon(self._turn)

    def came(self) -> None:
        """A frame has come."""
        now = perf_counter()
        self._soon = now - self._since < MOMENT_S
        if self._until and not self._soon:
            self._rest(now)
        self._until = 0.0

    def _turn(self) -> None:
        now = perf_counter()
        if now < self._until:
            self._loop.call_soon(self._turn)
            return
        self._awake = False
        if self._until:
            self._rest(now)
            self._until = 0.0

    def _rest(self, now: float) -> None:
        self._rested = now + REST * (now - self._since)
