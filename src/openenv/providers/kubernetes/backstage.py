"""An event loop in a thread of its own, for what goes on beside a program that knows nothing of it.

Provider methods are called from any thread, some of which run an event loop of their own; watches and forwarded
ports go on between the calls.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from openenv.errors import ProviderStartError
from openenv.providers.background import begin

__all__ = ["Backstage"]

T = TypeVar("T")

LOOK_S = 0.1


class _Threads(concurrent.futures.ThreadPoolExecutor):
    """A daemon thread for each call. Those of the standard library take no calls once the program is at its end,
    when providers are stopped, and finding the address of a host is such a call.
    """

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[T]:
        return begin(fn, *args, **kwargs)


class Backstage:
    """A daemon thread with an event loop, until `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(_Threads())
        self._thread = threading.Thread(target=self._run, name="openenv-kubernetes", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T], *, interrupted: threading.Event | None = None) -> T:
        """Do the work there and return its result; called from any other thread.

        Args:
            work: What is to be done.
            interrupted: Cancels it when it is set.

        Raises:
            ProviderStartError: It was interrupted.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            while True:
                try:
                    return future.result(LOOK_S if interrupted else None)
                except concurrent.futures.TimeoutError:
                    if future.done():
                        raise  # it is the work's own
                    if interrupted is not None and interrupted.is_set():
                        raise ProviderStartError("It was stopped before its pods were running.") from None
        finally:
            future.cancel()

    def close(self) -> None:
        """End what still goes on there, and the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(_end_what_goes_on())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()


async def _end_what_goes_on() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.sleep(0)  # connections that were aborted are closed in the next round
