"""What an environment reports of a long reset or step, on its way to whoever asked for it.

A report is worth something only while its request runs, and only the latest is. So reports wait for nobody: they
are passed on at most every `INTERVAL_S` seconds, a newer one takes the place of one that waits, and what still
waits when the request is answered is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

INTERVAL_S = 0.1
"""Seconds between two reports of one environment that are passed on; the last one before a pause always is."""

Report = dict[str, Any]
Tell = Callable[[Report], None]


class Listener:
    """What an environment reports to. A copy of the environment, by whatever way it is made, has none."""

    __slots__ = ()

    def __deepcopy__(self, _memo: object) -> None:
        return None

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _none, ()


def _none() -> None:
    """Return what a copy has in place of its listener."""


class Relay(Listener):
    """Takes reports on any thread and passes them on, on the event loop, while a request runs."""

    __slots__ = ("_free_at", "_latest", "_loop", "_passed", "_scheduled", "_tell")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tell: Tell | None = None
        self._latest: Report | None = None
        self._passed: Report | None = None
        self._scheduled = False
        self._free_at = 0.0

    def begin(self, tell: Tell | None) -> None:
        """A request begins; somebody, or nobody, wants to hear of it."""
        self._latest = self._passed = None
        self._tell = tell

    def end(self) -> None:
        """The request has been answered: nothing is passed on any more."""
        self._tell = self._latest = self._passed = None

    def __call__(self, report: Report) -> None:
        """Take a report. May be called on any thread."""
        if self._tell is None:
            return
        self._latest = report  # before the flag is read: `_pass_on` clears that before it takes the report
        if not self._scheduled:
            self._scheduled = True
            try:
                self._loop.call_soon_threadsafe(self._pass_on)
            except RuntimeError:  # the loop was closed while the environment ran
                self._tell = None

    def take(self, report: Report) -> None:
        """Take a report on the event loop, and pass it on before anything that comes after it, if it is time."""
        self._latest = report
        if not self._scheduled:
            self._scheduled = True
            self._pass_on()

    def _pass_on(self) -> None:
        pause = self._free_at - self._loop.time()
        if pause > 0 and self._tell is not None:
            self._loop.call_later(pause, self._pass_on)
            return
        self._scheduled = False
        report = self._latest
        if self._tell is not None and report is not None and report is not self._passed:
            self._passed = report
            self._free_at = self._loop.time() + INTERVAL_S
            self._tell(report)


class Outlet(Listener):
    """What a worker writes to its server: answers, and reports between them, on whatever thread they are made.

    Args:
        write: Writes an answer or a report, given encoded.
        encode: Encodes a report.
    """

    def __init__(self, write: Callable[[bytes], None], encode: Callable[[Report], bytes]) -> None:
        self._write = write
        self._encode = encode
        self._lock = threading.Lock()
        self._wanted = False
        self._waiting: Report | None = None
        self._timer: threading.Timer | None = None
        self._free_at = 0.0

    def begin(self, wanted: bool) -> None:
        """A request begins; reports of it are wanted or not."""
        self._wanted = wanted

    def answer(self, frame: bytes) -> None:
        """Write the answer; what was not reported before is not reported any more."""
        with self._lock:
            self._wanted = False
            self._waiting = None
            self._write(frame)

    def settle(self) -> None:
        """Between requests: let the thread go that would have written the next report."""
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            timer.join()

    def __call__(self, report: Report) -> None:
        """Take a report. May be called on any thread."""
        if not self._wanted:
            return
        with self._lock:
            self._waiting = report
            if self._timer is None:
                self._write_waiting()

    def _write_waiting(self) -> None:
        if not self._wanted or self._waiting is None:
            return
        pause = self._free_at - time.monotonic()
        if pause > 0:
            self._timer = threading.Timer(pause, self._pause_over)
            self._timer.daemon = True
            self._timer.start()
            return
        report, self._waiting = self._waiting, None
        self._free_at = time.monotonic() + INTERVAL_S
        with contextlib.suppress(OSError):  # the server is gone, and this process is about to be
            self._write(self._encode(report))

    def _pause_over(self) -> None:
        with self._lock:
            self._timer = None
            self._write_waiting()
