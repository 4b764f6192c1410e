"""Where one environment instance runs: how each of its methods is called is decided once, at the start.

| the method | runs |
|---|---|
| a coroutine function | on the event loop |
| sync, `NON_BLOCKING = True` | on the event loop, directly |
| sync | on a pooled thread; on a thread of the session's own if the class asks for one |

A constructor always runs on a thread. A result comes back by calling `done` on the loop, at once for the
direct way.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from openenv.environment.adapter import Adapter
from openenv.models import StepResult
from openenv.server.threads import Done, Thread, ThreadPool

Factory = Callable[[], Any]


class Runner:
    """Constructs one environment and calls it, one call at a time.

    Args:
        factory: A class or function that makes the environment.
        pool: Threads for what blocks.
        strict: Passed to the `Adapter`.
        keep: Do not close the environment at the end, since it is somebody else's.
    """

    def __init__(self, factory: Factory, pool: ThreadPool, *, strict: bool = False, keep: bool = False) -> None:
        self._factory = factory
        self._pool = pool
        self._strict = strict
        self._keep = keep
        # Only a class tells before construction whether it is bound to a thread; a function might return one.
        affine = getattr(factory, "REQUIRES_SINGLE_THREAD_EXECUTOR", True)
        self._own: Thread | None = pool.pinned() if affine else None
        self._task: asyncio.Task[Any] | None = None
        self.adapter: Adapter | None = None
        self._inline: frozenset[str] = frozenset()

    def start(self, done: Done) -> None:
        """Construct the environment; `done` gets its adapter."""

        def made(adapter: Any, error: BaseException | None) -> None:
            if error is None:
                self._settle(adapter)
            done(adapter, error)

        self._in_thread(lambda: Adapter(self._factory(), strict=self._strict), made)

    def call(self, verb: str, function: Callable[[], Any], done: Done) -> None:
        """Call a method of the adapter, in the way its verb is called."""
        if verb in self._inline:
            self._direct(function, done)
        else:
            self._in_thread(function, lambda value, error: self._returned(value, error, done))

    def cancel(self) -> None:
        """Stop a running coroutine. A thread cannot be stopped; its result is awaited."""
        if self._task is not None:
            self._task.cancel()

    def close(self, done: Done) -> None:
        """Close the environment and give back its thread."""
        adapter = self.adapter
        self.adapter = None

        def closed(value: Any, error: BaseException | None) -> None:
            self._give_back()
            done(value, error)

        if adapter is None or self._keep or not adapter.has_close:
            closed(None, None)
        else:
            self.call("close", adapter.close, closed)

    def _settle(self, adapter: Adapter) -> None:
        self.adapter = adapter
        shape = adapter.shape
        if getattr(shape.cls, "NON_BLOCKING", False):
            self._inline = frozenset(("reset", "step", "state", "close"))
        else:
            # Reading the state of an async environment must not race with it from another thread.
            reads = {"state"} if {"reset", "step"} & shape.coroutines else set()
            self._inline = shape.coroutines | reads
        if self._own is not None and (
            not getattr(shape.cls, "REQUIRES_SINGLE_THREAD_EXECUTOR", False)
            or self._inline >= {"reset", "step", "state", "close"}
        ):
            self._give_back()

    def _give_back(self) -> None:
        if self._own is not None:
            self._pool.release(self._own)
            self._own = None

    def _in_thread(self, function: Callable[[], Any], done: Done) -> None:
        (self._own or self._pool).run(function, done)

    def _direct(self, function: Callable[[], Any], done: Done) -> None:
        try:
            value = function()
        except BaseException as error:
            done(None, error)
        else:
            self._returned(value, None, done)

    def _returned(self, value: Any, error: BaseException | None, done: Done) -> None:
        """Pass a result on; if a method returned a coroutine, run that first."""
        if error is not None or isinstance(value, StepResult) or not inspect.iscoroutine(value):
            done(value, error)
            return
        task = self._task = _start(_guarded(value))
        if task.done():
            self._awaited(task, value, done)
        else:
            task.add_done_callback(lambda finished: self._awaited(finished, value, done))

    def _awaited(self, task: asyncio.Task[Any], coroutine: Coroutine[Any, Any, Any], done: Done) -> None:
        self._task = None
        coroutine.close()  # it has not begun if the task was cancelled at once, and would complain of that
        if task.cancelled():
            done(None, asyncio.CancelledError())
        else:
            error = task.exception()
            done(None if error else task.result(), error)


async def _guarded(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Keep an environment's `sys.exit()` from ending the event loop."""
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"the environment raised {error!r}") from error


def _start(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Start a task; from Python 3.12 on it runs at once, up to its first real wait."""
    if sys.version_info >= (3, 12):
        return asyncio.Task(coroutine, loop=asyncio.get_running_loop(), eager_start=True)
    return asyncio.create_task(coroutine)
