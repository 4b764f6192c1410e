"""Threads for environments that block, kept by the event loop.

A pool grows by a thread whenever all are busy, so one session's long step never delays another's, and shrinks
when they have been idle for a while. All bookkeeping happens on the loop, so there is no lock.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

Done = Callable[[Any, BaseException | None], None]
"""Called once on the loop with what a function returned, or with what it raised."""

_Work = tuple[Callable[[], Any], Done]

IDLE_S = 30.0
"""Seconds after which an idle thread of the pool ends."""


class Thread:
    """One daemon thread that runs functions in order and reports each on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self.idle_since = 0.0
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def run(self, function: Callable[[], Any], done: Done) -> None:
        """Run the function after those before it."""
        self._work.put((function, done))

    def end(self) -> None:
        """End the thread after what is queued. Nothing may be run on it afterwards."""
        self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            function, done = work
            value, error = None, None
            try:
                value = function()
            except BaseException as raised:
                error = raised
            try:
                self._loop.call_soon_threadsafe(done, value, error)
            except RuntimeError:  # the loop was closed while the function ran: nobody is left to tell
                return
            del work, function, done, value, error  # do not keep an observation alive while waiting


class ThreadPool:
    """Threads that are made when needed and reused, the most recently used first."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str = "openenv") -> None:
        self._loop = loop
        self._name = name
        self._idle: list[Thread] = []
        self._timer: asyncio.TimerHandle | None = None
        self._made = 0
        self._closed = False

    def run(self, function: Callable[[], Any], done: Done) -> None:
        """Run the function on an idle thread, or on a new one."""
        thread = self._idle.pop() if self._idle else self._new()

        def finished(value: Any, error: BaseException | None) -> None:
            self.release(thread)
            done(value, error)

        thread.run(function, finished)

    def pinned(self) -> Thread:
        """Return a thread of one's own; `release` it when done."""
        return self._idle.pop() if self._idle else self._new()

    def close(self) -> None:
        """End the idle threads now, and the busy ones when they finish."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._idle:
            self._idle.pop().end()

    def _new(self) -> Thread:
        self._made += 1
        return Thread(self._loop, f"{self._name}-{self._made}")

    def release(self, thread: Thread) -> None:
        """Take back a thread that is not running anything."""
        if self._closed:
            thread.end()
            return
        thread.idle_since = self._loop.time()
        self._idle.append(thread)
        if self._timer is None:
            self._timer = self._loop.call_later(IDLE_S, self._shrink)

    def _shrink(self) -> None:
        limit = self._loop.time() - IDLE_S
        while self._idle and self._idle[0].idle_since <= limit:
            self._idle.pop(0).end()
        self._timer = self._loop.call_later(IDLE_S, self._shrink) if self._idle else None
