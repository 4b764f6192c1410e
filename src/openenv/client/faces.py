"""What a call returns, decided by how its object was entered; clients, vectors of clients and pools share it.

The object has an async core that lives on one event loop. How it is entered decides which loop that is: the one
it was entered on, or the one in the background that all blocking callers of the process share. A subclass writes
each of its methods once, as `return self._call(...)` around a coroutine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from enum import Enum
from types import TracebackType
from typing import Self, TypeVar, cast

from openenv.client.pending import Pending
from openenv.client.portal import Tenancy, Tenant, close_when_dropped
from openenv.errors import OpenEnvError
from openenv.models import Nothing

T = TypeVar("T")


running_loop = asyncio._get_running_loop
"""Return the running event loop, or None. Public, if underscored: documented for other event loops."""


class Face(Enum):
    """What a call returns: a coroutine, the result, or (open) whatever its caller turns out to want."""

    OPEN = "open"
    ASYNC = "async"
    BLOCKING = "blocking"


class Faces:
    """An object that can be used in every way; see the table in `EnvClient`.

    A subclass calls `_begin` when it is made and defines `_connected` and `_closed`.
    """

    def _begin(self, core: Tenant) -> None:
        """Start as an object nobody has entered.

        Args:
            core: What lives on the event loop. It must not keep this object alive.
        """
        self._face = Face.OPEN
        self._home: asyncio.AbstractEventLoop | None = None
        self._let_go_of_home: Callable[[], object] = _nothing
        self._tenant = core
        self._tenancy = Tenancy(self, core)
        self._unseen: list[Pending] = []

    async def _connected(self) -> Self:
        """Connect and return this object."""
        raise NotImplementedError

    async def _closed(self) -> Nothing:
        """Close everything."""
        raise NotImplementedError

    # --- beginning and end -----------------------------------------------------------------------

    def connect(self) -> Self:
        """Connect now; `await` it in async code. Any call does so when needed."""
        if self._face is Face.OPEN and inside_loop():
            return cast("Self", self._enter_async())
        return self._call(self._connected)

    def disconnect(self) -> Nothing:
        """Do what `close` does."""
        return self.close()

    def close(self) -> Nothing:
        """Close everything this object has opened or started.

        May be called more than once. In a fork it does nothing, for what there is belongs to the parent.
        """
        error = self._take_unseen()
        if self._face is not Face.ASYNC and self._tenancy.has_nothing_to_end:
            waited_for = self._face is Face.OPEN and inside_loop()
            closed = cast("Nothing", Pending.of(Nothing())) if waited_for else Nothing()
        else:
            closed = self._start(self._closed)
        if error is not None:
            raise error
        return closed

    def __enter__(self) -> Self:
        self._block()
        self._call(self._connected)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await self._enter_async()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._run(self._closed)

    def __await__(self) -> Generator[object, None, Self]:
        return self._enter_async().__await__()

    async def _enter_async(self) -> Self:
        self._settle_here()
        return await self._run(self._connected)

    # --- which way a call goes -------------------------------------------------------------------

    def _call(self, function: Callable[[], Coroutine[object, object, T]], *, quick: bool = False) -> T:
        """Run part of the core in the way this object was entered. The annotation is true once awaited.

        Args:
            function: Makes the coroutine to run.
            quick: It waits for nothing but futures; see `Portal.run`.
        """
        if self._face is Face.ASYNC:
            return cast("T", function() if self._is_at_home() else self._run(function))
        error = self._take_unseen()
        if error is not None:
            raise error
        return self._start(function, quick=quick)

    def _start(self, function: Callable[[], Coroutine[object, object, T]], *, quick: bool = False) -> T:
        if self._face is Face.ASYNC:
            return cast("T", self._run(function))
        portal = self._tenancy.enter()
        pending = self._face is Face.OPEN and inside_loop()
        if quick and not pending:
            try:
                return portal.run(function())
            finally:
                self._tenancy.leave()
        future = portal.submit(function())
        if pending:
            future.add_done_callback(lambda _: self._tenancy.leave())
            self._unseen.append(Pending(future, touched=self._block))
            return cast("T", self._unseen[-1])
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise
        finally:
            self._tenancy.leave()

    def _begun(self, function: Callable[[], Coroutine[object, object, T]]) -> Callable[[], T]:
        """Begin part of the core for a blocking caller, who goes on, and return what waits for its end.

        Args:
            function: Makes a coroutine that waits for nothing but futures; see `Portal.run`. What is returned has
                to be called, once.
        """
        self._block()
        wait = self._tenancy.enter().begun(function())

        def ended() -> T:
            try:
                return wait()
            finally:
                self._tenancy.leave()

        return ended

    async def _run(self, function: Callable[[], Coroutine[object, object, T]]) -> T:
        """Run part of the core from a coroutine: here if this is its loop, else over there."""
        if self._tenancy.active:
            future = self._tenancy.enter().submit(function())
            future.add_done_callback(lambda _: self._tenancy.leave())
            return await asyncio.wrap_future(future)
        if self._is_at_home():
            return await function()
        assert self._home is not None
        if self._home.is_closed():
            raise OpenEnvError("This client belongs to an event loop that is closed; make a new client")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(function(), self._home))

    def _is_at_home(self) -> bool:
        """Whether the caller is on the event loop that this object was entered on."""
        return self._home is running_loop() and self._home is not None

    def _settle_here(self) -> None:
        """Live on the running loop from now on, if this object does not live on the shared one already."""
        if not self._tenancy.active:
            self._face = Face.ASYNC
            if self._home is not asyncio.get_running_loop():
                self._home = asyncio.get_running_loop()
                self._let_go_of_home()
                self._let_go_of_home = close_when_dropped(self, self._tenant)

    def _settle_with(self, other: Faces) -> None:
        """Live where another object lives, and be called as it is."""
        self._face, self._home = other._face, other._home

    def _block(self) -> None:
        if self._face is Face.ASYNC:
            raise OpenEnvError("This client was entered async; use another client for blocking calls")
        self._face = Face.BLOCKING

    def _take_unseen(self) -> BaseException | None:
        """Return, once, the error of an earlier call that nobody has looked at."""
        self._unseen = [pending for pending in self._unseen if pending.may_matter]
        for place, pending in enumerate(self._unseen):
            if error := pending.unseen_error():
                del self._unseen[place]
                return error
        return None


def _nothing() -> None:
    """Do nothing."""


def inside_loop() -> bool:
    """Return whether the caller is in a running event loop."""
    return running_loop() is not None
