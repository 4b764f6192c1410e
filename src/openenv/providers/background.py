"""Runs blocking calls beside an event loop, such that cancelling never loses track of what they did.

Each call has a thread of its own: dozens of providers wait at the same time, which the few threads of the
loop's executor would make a queue, and a call that nobody waits for any more does not keep the program alive.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

__all__ = ["at_once", "begin", "finish", "in_thread"]

T = TypeVar("T")
V = TypeVar("V")


def in_thread(call: Callable[..., T], *args: Any, **kwargs: Any) -> asyncio.Future[T]:
    """Begin the call in a new daemon thread and return the future of its result, for the running loop.

    Cancelling the future does not end the call.
    """
    return asyncio.wrap_future(begin(call, *args, **kwargs))


def at_once(call: Callable[[V], T], values: Iterable[V], *, most: int = 16) -> list[T]:
    """Return what the call gives for each value; all have ended before the first error comes out.

    Args:
        call: Waits rather than computes: for an engine, a service, a process.
        values: What it is called with.
        most: How many calls run at the same time.
    """
    room = threading.Semaphore(most)

    def make(value: V) -> T:
        with room:
            return call(value)

    todo = list(values)
    if len(todo) < 2:
        return [call(value) for value in todo]
    begun = [begin(make, value) for value in todo]
    concurrent.futures.wait(begun)
    return [one.result() for one in begun]


def begin(call: Callable[..., T], *args: Any, **kwargs: Any) -> concurrent.futures.Future[T]:
    """Begin the call in a new daemon thread and return the future of its result.

    At the end of the program, when providers are stopped, Python 3.12 starts no threads any more (and executors of
    the standard library take no calls): the call is then made here, and has ended when this returns.
    """
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
    outcome.set_running_or_notify_cancel()  # from now on it cannot be cancelled
    context = contextvars.copy_context()

    def run() -> None:
        try:
            result = context.run(call, *args, **kwargs)
        except BaseException as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    try:
        threading.Thread(target=run, name="openenv-provider", daemon=True).start()
    except RuntimeError:
        run()
    return outcome


async def finish(awaitable: Awaitable[T]) -> T:
    """Await to the end, however often the caller is cancelled meanwhile; then let the cancellation go on."""
    task = asyncio.ensure_future(awaitable)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result
