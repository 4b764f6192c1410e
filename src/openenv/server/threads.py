"""Threads for environments that block, kept by the event loop.

A pool grows by a thread whenever all are busy, so one session's long step never delays another's, and shrinks
when they have been idle for a while. Constructors, of which thousands may come at once, wait a moment for a thread
that is about to be free; the longer none is, the faster the pool grows. All bookkeeping happens on the loop, so
there is no lock.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

Done = Callable[[Any, BaseException | None], None]
"""Called once on the loop with what a function returned, or with what it raised."""

_Work = tuple[Callable[[], Any], Done]

Started = Callable[["Thread", Any, BaseException | None], None]
"""Called once on the loop as `Done` is, and with the thread, which it has to `release` some time."""

IDLE_S = 30.0
"""Seconds after which an idle thread of the pool ends."""

AT_ONCE = 4
"""Threads that constructors get without waiting."""

PATIENCE_S = 0.01
"""Seconds after which those who wait for a thread get more of them."""


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
        self._starting = 0
        self._waiting: deque[tuple[Callable[[], Any], Started]] = deque()
        self._growing: asyncio.TimerHandle | None = None
        self._growth = 1

    def run(self, function: Callable[[], Any], done: Done) -> None:
        """Run the function on an idle thread, or on a new one."""
        thread = self._idle.pop() if self._idle else self._new()

        def finished(value: Any, error: BaseException | None) -> None:
            self.release(thread)
            done(value, error)

        thread.run(function, finished)

    def start(self, function: Callable[[], Any], done: Started) -> None:
        """Run the function on a thread that may be kept afterwards; it may have to wait a moment for one."""
        if self._idle or self._starting < AT_ONCE:
            self._start(self._idle.pop() if self._idle else self._new(), function, done)
            return
        self._waiting.append((function, done))
        if self._growing is None:
            self._growing = self._loop.call_later(PATIENCE_S, self._grow)

    def _start(self, thread: Thread, function: Callable[[], Any], done: Started) -> None:
        self._starting += 1

        def finished(value: Any, error: BaseException | None) -> None:
            self._starting -= 1
            done(thread, value, error)

        thread.run(function, finished)

    def _grow(self) -> None:
        self._growing = None
        for _ in range(min(self._growth, len(self._waiting))):
            self._start(self._new(), *self._waiting.popleft())
        self._growth *= 2
        if self._waiting:
            self._growing = self._loop.call_later(PATIENCE_S, self._grow)
        else:
            self._growth = 1

    def close(self) -> None:
        """End the idle threads now, and the busy ones when they finish."""
        self._closed = True
        for timer in (self._timer, self._growing):
            if timer is not None:
                timer.cancel()
        while self._waiting:  # a constructor that was promised is run, for somebody waits to hear of it
            self._start(self._new(), *self._waiting.popleft())
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
        if self._waiting:
            self._start(thread, *self._waiting.popleft())
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
