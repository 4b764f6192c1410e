"""Blocking calls of what may be async, from anywhere: the loop they run on, and time limits.

A coroutine that is waited for runs on one background loop of the process, not on one made for the call: what a tool
has opened on a loop, such as a connection, lives on for the next call.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

_GRACE_S = 0.02

_lock = threading.Lock()
_background: _Background | None = None


def settled(value: Any) -> Any:
    """Return a value, or what a coroutine returns, after it has run to its end; blocks.

    Works inside a running loop, which it holds up. From within the background loop itself, where a tool that
    awaits has come to call this, the coroutine runs on a loop of its own.
    """
    if not inspect.iscoroutine(value):
        return value
    background = _Background.running()
    if background.is_this_thread():
        with ThreadPoolExecutor(1) as other:
            return other.submit(lambda: asyncio.run(_guarded(value))).result().result()
    return asyncio.run_coroutine_threadsafe(_guarded(value), background.loop).result().result()


async def _guarded(coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
    """Return what a coroutine came to; a `sys.exit()` in a task would end its loop."""
    outcome: Future[Any] = Future()
    try:
        outcome.set_result(await coroutine)
    except (asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as error:
        outcome.set_exception(error)
    return outcome


class _Background:
    """A thread with a loop, for all blocking calls of this process; it ends with the process."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="openenv-tools", daemon=True)
        self._thread.start()

    @staticmethod
    def running() -> _Background:
        """Return it; a process that was forked has none yet."""
        global _background
        with _lock:
            if _background is None or _background.process != os.getpid():
                _background = _Background()
            return _background

    def is_this_thread(self) -> bool:
        """Whether the caller is on its thread, where waiting for it would never end."""
        return threading.current_thread() is self._thread


async def within(coroutine: Coroutine[Any, Any, Any], timeout_s: float) -> Running:
    """Run a coroutine for so long, then cancel it; it may go on for all that, if it does not heed this."""
    task = asyncio.ensure_future(_guarded(coroutine))
    try:
        await asyncio.wait({task}, timeout=timeout_s)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_GRACE_S)
        return Running(lambda: not task.done())
    return Running(lambda: False, task.result())


def on_thread(function: Callable[[], Any], timeout_s: float) -> Running:
    """Run a blocking function on a thread of its own, and wait for so long; it can not be stopped."""
    outcome: Future[Any] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            outcome.set_result(context.run(function))
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=run, name="openenv-tool", daemon=True)
    thread.start()
    done, _ = wait([outcome], timeout_s)
    return Running(thread.is_alive, outcome if done else None)


class Running:
    """A call that was given so much time.

    Attributes:
        goes_on: Says whether it is still running.
        outcome: What it came to; None if it was not over in time.
    """

    def __init__(self, goes_on: Callable[[], bool], outcome: Future[Any] | None = None) -> None:
        self.goes_on = goes_on
        self.outcome = outcome
