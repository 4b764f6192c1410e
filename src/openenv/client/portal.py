"""The one background event loop that all blocking clients of a process share.

It starts with the first client that needs it and ends with the last. It is counted, not kept for ever, so that
a program that has closed its clients has no thread left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from openenv.errors import OpenEnvError

T = TypeVar("T")

_WAITS_FOR_ITSELF = "A blocking call from within the client's own loop would wait for itself for ever"

_lock = threading.Lock()
_current: Portal | None = None


class Portal:
    """A thread that runs an event loop. Get one by `acquire`, and `release` it."""

    def __init__(self) -> None:
        self.users = 0
        self._process = os.getpid()
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

    def release_soon(self, _done: object = None) -> None:
        """Give it back from its own thread; never waits, so it may be called while memory is cleaned up."""
        self.loop.call_soon_threadsafe(self.release)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop, from any other thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop from another thread, wait, and return what it returns.

        It is driven without a task, which is much of the time a short call takes. So it must not use what needs
        one, such as `asyncio.timeout`; futures are all it may wait for.
        """
        return self.begun(coroutine)()

    def begun(self, coroutine: Coroutine[Any, Any, T]) -> Callable[[], T]:
        """Begin what `run` does, and return what waits for its end."""
        call = _Call(coroutine, self.loop)
        self.loop.call_soon_threadsafe(call.advance)
        return call.wait

    @property
    def is_ours(self) -> bool:
        """Whether its thread runs in this process; it does not come along into a fork."""
        return self._process == os.getpid()

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
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()


class _Call:
    """A coroutine that the loop drives from future to future while another thread waits for its end."""

    __slots__ = ("_awaited", "_cancelled", "_coroutine", "_error", "_loop", "_over", "_value")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> None:
        self._coroutine = coroutine
        self._loop = loop
        self._awaited: asyncio.Future[Any] | None = None
        self._cancelled = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._over = threading.Lock()
        self._over.acquire()

    def wait(self) -> Any:
        """Wait for the end, on the calling thread."""
        try:
            self._over.acquire()
        except BaseException:  # Ctrl-C
            self._loop.call_soon_threadsafe(self._cancel)
            raise
        if self._error is not None:
            raise self._error
        return self._value

    def advance(self, _future: object = None) -> None:
        """Go on to the next future, on the loop."""
        try:
            if self._cancelled:
                awaited = self._coroutine.throw(asyncio.CancelledError())
            else:
                awaited = self._coroutine.send(None)
        except StopIteration as returned:
            self._value = returned.value
        except BaseException as error:
            self._error = error
        else:
            self._awaited = awaited
            if awaited is None:  # a bare yield, as of `asyncio.sleep(0)`
                self._loop.call_soon(self.advance)
            else:
                awaited._asyncio_future_blocking = False
                awaited.add_done_callback(self.advance)
            return
        self._over.release()

    def _cancel(self) -> None:
        if self._awaited is not None and not self._awaited.cancel():
            self._cancelled = True


class Tenant(Protocol):
    """What may live on a portal."""

    @property
    def untouched(self) -> bool:
        """Whether there is nothing to close."""

    async def close(self) -> None:
        """Close what there is."""


class Tenancy:
    """One client's use of the portal: from its first call there until nothing of it is left there.

    Args:
        client: Whose; when it is dropped without being closed, the tenant is closed all the same.
        tenant: What lives there. It must not keep the client alive.
    """

    def __init__(self, client: object, tenant: Tenant) -> None:
        self._client = weakref.ref(client)
        self._tenant = tenant
        self._lock = threading.Lock()
        self._calls = 0
        self._portal: Portal | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None

    @property
    def active(self) -> bool:
        """Whether something lives there, or a call is under way."""
        return self._portal is not None

    @property
    def has_nothing_to_end(self) -> bool:
        """Whether closing has nothing to do; so in a fork, where all of it is the parent's."""
        portal = self._portal
        return self._tenant.untouched if portal is None else not portal.is_ours

    def enter(self) -> Portal:
        """Return the portal for one call; it stays at least until `leave`.

        Raises:
            OpenEnvError: This is the portal's own thread, or the client has been used before a fork.
        """
        if self._portal is not None and not self._portal.is_ours:
            raise OpenEnvError("This client was used before the process was forked; make a new one in the fork")
        portal = self._begin()
        if portal.is_this_thread():
            self.leave()
            raise OpenEnvError(_WAITS_FOR_ITSELF)
        return portal

    def stay(self) -> None:
        """Stay there as long as there is something to close, and no longer; for a tenant that came up there."""
        self._begin()
        self.leave()

    def _begin(self) -> Portal:
        with self._lock:
            if self._portal is None:
                self._portal = Portal.acquire()
                client = self._client()
                name = type(client).__name__
                self._finalizer = weakref.finalize(client, _end, self._portal, self._tenant, self._client, name)
            self._calls += 1
            return self._portal

    def leave(self) -> None:
        """The call is over. The last one gives the portal back, unless it left something to close."""
        with self._lock:
            self._calls -= 1
            if self._calls or not self._tenant.untouched:
                return
            portal, self._portal = self._portal, None
            finalizer, self._finalizer = self._finalizer, None
        if portal is not None and finalizer is not None and finalizer.detach():
            portal.release()


def _end(portal: Portal, tenant: Tenant, client: weakref.ref[object], name: str) -> None:
    """Close what a client has left that was dropped, or that is still there when the program ends."""
    if not portal.is_ours:
        return
    dropped = client() is None
    try:
        if dropped and not tenant.untouched:
            _warn_of_dropped(name)
    finally:
        closing = portal.submit(tenant.close())
        closing.add_done_callback(portal.release_soon)
        # Any thread may be the one that finds a dropped client, that of an event loop too: it must not wait.
        if not dropped and not portal.is_this_thread():
            with contextlib.suppress(Exception):  # nobody is left to be told
                closing.result(timeout=5)


def close_when_dropped(client: object, tenant: Tenant) -> Callable[[], object]:
    """See to it that what lives on the running loop is closed if its client is dropped without being closed.

    Returns:
        What takes that back.
    """
    loop, name, process = asyncio.get_running_loop(), type(client).__name__, os.getpid()

    def end() -> None:
        if tenant.untouched or os.getpid() != process:
            return
        try:
            _warn_of_dropped(name)
        finally:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_close_soon, tenant)

    finalizer = weakref.finalize(client, end)
    finalizer.atexit = False  # its loop has ended by then
    return finalizer.detach


_closing: set[asyncio.Task[None]] = set()
"""What is being closed; a loop alone would not keep it."""


def _close_soon(tenant: Tenant) -> None:
    task = asyncio.get_running_loop().create_task(tenant.close())
    _closing.add(task)
    task.add_done_callback(_closed)


def _closed(task: asyncio.Task[None]) -> None:
    _closing.discard(task)
    if not task.cancelled():
        task.exception()  # nobody is left to be told


def _warn_of_dropped(name: str) -> None:
    """Tell the author of a program, who sees it under `python -X dev`, that a client should have been closed."""
    warnings.warn(
        f"A {name} was dropped without being closed; its sessions are ended now. "
        "Enter it by `with` or `async with`, or call close()",
        ResourceWarning,
        stacklevel=2,
    )


def run_async_safely(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from blocking code, be there an event loop in this thread or not.

    Raises:
        OpenEnvError: This is the thread that would have to run it.
    """
    portal = Portal.acquire()
    try:
        if portal.is_this_thread():
            coroutine.close()
            raise OpenEnvError(_WAITS_FOR_ITSELF)
        return portal.submit(coroutine).result()
    finally:
        portal.release()


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
