"""The one background event loop that all blocking clients of a process share.

It starts with the first client that needs it and ends with the last. It is counted, not kept for ever, so that
a program that has closed its clients has no thread left.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_current: Portal | None = None


class Portal:
    """A thread that runs an event loop. Get one by `acquire`, and `release` it."""

    def __init__(self) -> None:
        self.users = 0
        self.loop = _new_loop()
        self._thread = threading.Thread(target=self._run, name="openenv-client", daemon=True)
        self._thread.start()

    @staticmethod
    def acquire() -> Portal:
        """Return the running portal, or start one."""
        global _current
        with _lock:
            if _current is None:
                _current = Portal()
            _current.users += 1
            return _current

    def release(self) -> None:
        """Give it back; the last to do so ends it."""
        global _current
        with _lock:
            self.users -= 1
            if self.users > 0:
                return
            if _current is self:
                _current = None
        self.loop.call_soon_threadsafe(self.loop.stop)
        if not self.is_this_thread():
            self._thread.join(timeout=5)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop, from any other thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def is_this_thread(self) -> bool:
        """Whether the caller is on the portal's own thread, where waiting for it would never end."""
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            pending = asyncio.all_tasks(self.loop)
            for task in pending:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _forget_after_fork() -> None:
    # The thread did not come along into the child; a client there starts a portal of its own.
    global _current, _lock
    _lock = threading.Lock()
    _current = None


os.register_at_fork(after_in_child=_forget_after_fork)
