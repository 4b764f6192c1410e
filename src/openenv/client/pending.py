"""`Pending`: the answer to a call whose caller may be async or blocking, where nothing tells which.

Inside a running event loop a client that was never entered can not know. The request is on its way already
when a `Pending` is returned. Awaiting it waits as async code does; touching it, `result.observation`, blocks
until the answer is there and then is the answer.
"""

from __future__ import annotations

import asyncio
import copy
import operator
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future
from typing import Any


class Pending(Coroutine[Any, Any, Any]):
    """An answer to await or to use directly.

    Args:
        future: The answer, on its way.
        touched: Called when it is used without await, which tells that the caller blocks.
    """

    __slots__ = ("_future", "_seen", "_touched", "_waiting")

    def __init__(self, future: Future[Any], touched: Callable[[], None]) -> None:
        self._future = future
        self._touched = touched
        self._waiting: Coroutine[Any, Any, Any] | None = None
        self._seen = False

    @classmethod
    def of(cls, answer: Any) -> Pending:
        """Return an answer that is there already, in the form of one that is not."""
        future: Future[Any] = Future()
        future.set_result(answer)
        return cls(future, touched=lambda: None)

    @property
    def may_matter(self) -> bool:
        """Whether nobody has looked at it, and it has failed or still may."""
        return not self._seen and (not self._future.done() or self.unseen_error() is not None)

    def unseen_error(self) -> BaseException | None:
        """Return the error nobody has looked at, if the call has failed."""
        if self._seen or not self._future.done() or self._future.cancelled():
            return None
        return self._future.exception()

    # --- awaited ---------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    def send(self, value: Any) -> Any:
        """Drive it as a coroutine, which is what a task does."""
        return self._coroutine().send(value)

    def throw(self, *error: Any) -> Any:
        """Throw into it as into a coroutine."""
        return self._coroutine().throw(*error)

    def close(self) -> None:
        """Stop waiting."""
        if self._waiting is not None:
            self._waiting.close()

    def _coroutine(self) -> Coroutine[Any, Any, Any]:
        if self._waiting is None:
            self._waiting = self._wait()
        return self._waiting

    async def _wait(self) -> Any:
        self._seen = True
        return await asyncio.wrap_future(self._future)

    # --- used directly ---------------------------------------------------------------------------

    def _value(self) -> Any:
        if not self._seen:
            self._seen = True
            self._touched()
        return self._future.result()

    def __getattr__(self, name: str) -> Any:
        if name in Pending.__slots__:  # one that is not made yet has none
            raise AttributeError(name)
        return getattr(self._value(), name)

    def __copy__(self) -> Any:
        """Copy the answer, not the waiting for it."""
        return copy.copy(self._value())

    def __reduce_ex__(self, _protocol: Any) -> Any:
        """Likewise for deep copies and pickles."""
        return _itself, (self._value(),)

    def __getitem__(self, key: Any) -> Any:
        return self._value()[key]

    def __contains__(self, item: Any) -> bool:
        return item in self._value()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._value())

    def __len__(self) -> int:
        return len(self._value())

    def __bool__(self) -> bool:
        return bool(self._value())

    def __eq__(self, other: object) -> bool:
        return bool(operator.eq(self._value(), other._value() if isinstance(other, Pending) else other))

    __hash__ = object.__hash__

    def __str__(self) -> str:
        return str(self._value())

    def __repr__(self) -> str:
        return repr(self._future.result()) if self._future.done() and self.unseen_error() is None else "<Pending>"


def _itself(answer: Any) -> Any:
    return answer
