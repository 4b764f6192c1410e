"""An event loop whose clock only goes when a test says so, and threads that finish when a test says so.

A day of leases passes in a second, and whatever order things happen in, they happen in it again.
"""

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any


class _Selector(selectors.BaseSelector):
    """Is asked for events when a loop has nothing else to do, and so knows when that is."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.idle: Callable[[float | None], None] = lambda _timeout: None

    def select(self, timeout: float | None = None) -> list[Any]:
        events = self._real.select(0)
        if not events and timeout != 0:
            self.idle(timeout)
        return events

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own, which starts at 0.

    Attributes:
        failures: What callbacks and tasks raised and nobody took.
    """

    def __init__(self) -> None:
        selector = _Selector()
        super().__init__(selector)
        selector.idle = self._idle
        self._now = self._until = 0.0
        self.failures: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _loop, context: self.failures.append(context))

    def time(self) -> float:
        return self._now

    def settle(self, function: Callable[[], Any] | None = None) -> Any:
        """Call a function on the loop, if there is one, and run whatever follows from it; no time passes."""
        return self.advance(0, function)

    def advance(self, seconds: float, function: Callable[[], Any] | None = None) -> Any:
        """Do the same and then let time pass, one timer after the other."""
        self._until = self._now + seconds
        result: list[Any] = []
        if function is not None:
            self.call_soon(lambda: result.append(function()))
        self.run_forever()
        return result[0] if result else None

    def _idle(self, next_timer: float | None) -> None:
        """Nothing is ready: go to the next timer, or stop at the end of the time that was given."""
        if next_timer is not None and self._now + next_timer <= self._until:
            self._now += next_timer
        else:
            self._now = self._until
            self.stop()


class Threads:
    """What a session takes for a pool of threads. A function runs at once, and its thread ends later.

    Attributes:
        slow: Threads end when `finish` is called, not by themselves.
        busy: Those that have not ended.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.slow = False
        self.busy: deque[Callable[[], None]] = deque()

    def run(self, function: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        value, error = None, None
        try:
            value = function()
        except BaseException as raised:
            error = raised
        if self.slow:
            self.busy.append(lambda: done(value, error))
        else:
            self._loop.call_soon(done, value, error)

    def finish(self) -> None:
        """Let the oldest thread end."""
        if self.busy:
            self._loop.call_soon(self.busy.popleft())

    def start(
        self, function: Callable[[], Any], done: Callable[["Threads", Any, BaseException | None], None]
    ) -> None:
        self.run(function, lambda value, error: done(self, value, error))

    def release(self, thread: "Threads") -> None:
        """Nothing to do: there is no thread."""

    def close(self) -> None:
        """Likewise."""
