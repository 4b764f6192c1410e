"""Runs blocking calls beside an event loop, such that cancelling never loses track of what they did.

Each call has a thread of its own: dozens of providers wait at the same time, which the few threads of the
loop's executor would make a queue, and a call that nobody waits for any more does not keep the program alive.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

__all__ = ["finish", "in_thread"]

T = TypeVar("T")


def in_thread(call: Callable[..., T], *args: Any, **kwargs: Any) -> asyncio.Future[T]:
    """Begin the call in a new daemon thread and return the future of its result.

    Cancelling the future does not end the call.
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

    threading.Thread(target=run, name="openenv-provider", daemon=True).start()
    return asyncio.wrap_future(outcome)


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
