"""Waiting for many things at once: the answers to one call about many sessions, or several coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from openenv.protocol.batches import Result

T = TypeVar("T")


class Gathering:
    """Collects results by index, for one task that waits for all of them, or for some at a time.

    Args:
        through: Looks at each result as it comes, and returns it or another, or None to keep it back: then a
            later one takes its place.

    Attributes:
        missing: How many are still to come.
    """

    def __init__(self, through: Callable[[int, Result], Result | None] | None = None) -> None:
        self.missing = 0
        self._through = through
        self._results: dict[int, Result] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._all = False

    def put(self, index: int, result: Result) -> None:
        """Add a result."""
        if self._through is not None:
            passed = self._through(index, result)
            if passed is None:
                return
            result = passed
        self._results[index] = result
        self.missing -= 1
        self._wake()

    def put_all(self, results: Mapping[int, Result]) -> None:
        """Add several results."""
        through = self._through
        if through is not None:
            looked_at = {index: through(index, result) for index, result in results.items()}
            passed: Mapping[int, Result] = {
                index: result for index, result in looked_at.items() if result is not None
            }
        else:
            passed = results
        if passed:
            self._results.update(passed)
            self.missing -= len(passed)
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not (self._all and self.missing) and not self._waiter.done():
            self._waiter.set_result(None)

    async def all(self) -> dict[int, Result]:
        """Return all results, when they are there."""
        if self.missing:
            await self._wait(True)
        return self._results

    async def some(self) -> dict[int, Result]:
        """Return the results that have come since the last call, as soon as there are any; none if none will."""
        if self.missing and not self._results:
            await self._wait(False)
        results, self._results = self._results, {}
        return results

    async def _wait(self, for_all: bool) -> None:
        self._all = for_all
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines at the same time and return their results; raise the first error when all have ended."""
    results = await asyncio.gather(*coroutines, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results  # type: ignore[return-value]  # none of them is an error
