"""`ProviderPool`: servers that are up before anybody asks for one, over any provider.

A lease is a provider itself: whatever takes a provider takes a lease, and starting one means taking a server from
the shelf. So a pool has no clients, no sessions and no calls of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from openenv.errors import ConfigurationError, ProviderNotReadyError
from openenv.providers.background import finish, in_thread
from openenv.providers.base import Provider
from openenv.providers.member import Member
from openenv.providers.source import Source
from openenv.providers.warm import Shelf, Turn
from openenv.providers.warm_metrics import WarmMetrics

__all__ = ["LeasedProvider", "ProviderPool", "WarmMetrics"]

_open: weakref.WeakSet[ProviderPool] = weakref.WeakSet()


class ProviderPool:
    """Keeps servers warm and lends them.

    ```python
    with ProviderPool(lambda image: LocalDockerProvider(image=image), images=["echo-env:latest"], size=8) as pool:
        with EchoEnv.with_provider(pool.lease()) as env:
            env.reset()
    ```

    A server that comes back is lent again once it holds no session any more, and replaced if it does not let go of
    one or is not healthy; `on_return="replace"` uses each only once. Sessions share nothing of an environment's
    memory, but files that one lease wrote are seen by the next unless servers are replaced.

    Args:
        make: Returns a new provider for an image, not started.
        images: For which images servers are kept warm from the start; others follow when they are first leased.
        size: How many servers there are of each image, lent ones included.
        on_return: What happens to a server that comes back.
        lease_timeout_s: Seconds a lease waits for a server. What one start may take are budgets of the provider:
            `create_timeout_s` where it has one, and `ready_timeout_s`.
        clean_timeout_s: Seconds a server has to end its sessions when it comes back.
        check_interval_s: Seconds after which an idle server is asked again whether it is healthy.
        starts_at_once: Never more servers than these start at the same time; the pool begins with two and finds out
            how many the engine bears.
        margin_s: A server whose lifetime ends within these seconds is replaced rather than lent.

    Raises:
        ConfigurationError: An argument is out of range.
    """

    def __init__(
        self,
        make: Callable[[str], Provider],
        *,
        images: Sequence[str] = ("",),
        size: int = 8,
        on_return: Literal["reset", "replace"] = "reset",
        lease_timeout_s: float = 60.0,
        clean_timeout_s: float = 2.0,
        check_interval_s: float = 10.0,
        starts_at_once: int = 16,
        margin_s: float = 60.0,
    ) -> None:
        if isinstance(images, str) or not images:
            raise ConfigurationError("images is a list of names, such as ['echo-env:latest']")
        if size < 1 or starts_at_once < 1:
            raise ConfigurationError("A pool needs a size and starts_at_once of at least 1")
        if on_return not in ("reset", "replace"):
            raise ConfigurationError(f"on_return is 'reset' or 'replace', not {on_return!r}")
        self._make = make
        self._images = tuple(images)
        self._lease_timeout_s = lease_timeout_s
        self._options: dict[str, Any] = {
            "size": size,
            "at_once": starts_at_once,
            "on_return": on_return,
            "clean_timeout_s": clean_timeout_s,
            "check_interval_s": check_interval_s,
            "margin_s": margin_s,
        }
        self._size = size
        self._lock = threading.Lock()
        self._shelves: dict[str, Shelf] = {}
        self._closing: set[Shelf] = set()  # until all their servers have surely ended
        self._running = False
        self._owner: int | None = None  # the process that started it last

    def start(self) -> Self:
        """Begin to start servers, and return at once.

        Raises:
            ConfigurationError: It runs in the program that this process is a fork of.
        """
        self._refuse_in_a_fork()
        with self._lock:
            self._running = True
            self._owner = os.getpid()
        _open.add(self)
        for image in self._images:
            self._shelf(image)
        return self

    def wait_warm(self, count: int | None = None, timeout_s: float = 120.0) -> None:
        """Wait until servers are warm.

        Args:
            count: How many of each image; all by default.
            timeout_s: Seconds for each image.

        Raises:
            ProviderNotReadyError: They are not yet.
        """
        wanted = self._size if count is None else count
        for image in self._images:
            if not self._shelf(image).wait_warm(wanted, timeout_s):
                stands = self._shelf(image).metrics()
                raise ProviderNotReadyError(
                    f"Of {wanted} servers{f' of {image}' if image else ''}, {stands.warm} were warm within the "
                    f"timeout_s of {timeout_s:g} s; {stands.starting} are starting, {stands.failed} starts failed."
                )

    def lease(self, image: str | None = None, *, timeout_s: float | None = None) -> LeasedProvider:
        """Return a provider that takes a server when it is started, and gives it back when it is stopped.

        Args:
            image: Of which image; by default what the client class asks for, if servers of it are kept, else the
                first of `images`.
            timeout_s: Seconds to wait for a server; `lease_timeout_s` of the pool by default.
        """
        return LeasedProvider(self, image, self._lease_timeout_s if timeout_s is None else timeout_s)

    def metrics(self, image: str | None = None) -> WarmMetrics:
        """Return what the pool has done so far for one image, the first by default."""
        return self._shelf(self._images[0] if image is None else image).metrics()

    def stop(self) -> None:
        """Stop all servers, lent ones too, and wait until they are gone. It can be started again.

        In a fork of the program that started it, it does nothing: the servers are the program's.

        Raises:
            ProviderError: Some could not be stopped; call it again.
        """
        if self._owner != os.getpid():  # before the lock: a fork may hold a copy that nobody will ever release
            return
        with self._lock:
            self._running = False
            self._closing.update(self._shelves.values())
            self._shelves.clear()
            closing = list(self._closing)
        errors = []
        for shelf in closing:
            try:
                shelf.close()
                self._closing.discard(shelf)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
        with self._lock:
            if not self._running:
                _open.discard(self)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await finish(in_thread(self.stop))

    def _refuse_in_a_fork(self) -> None:
        if self._running and self._owner != os.getpid():  # before the lock, as in `stop`
            raise ConfigurationError("The pool does not run in a fork of its program; make another one here.")

    def _shelf(self, image: str) -> Shelf:
        self._refuse_in_a_fork()
        with self._lock:
            if not self._running:
                raise ConfigurationError("The pool does not run; enter it with `with`, or call start().")
            if image not in self._shelves:
                shelf = Shelf(lambda: self._make(image), **self._options)
                shelf.open()
                self._shelves[image] = shelf
            return self._shelves[image]

    def _shelf_for(self, image: str | None, asked: str | None) -> Shelf:
        if image is None:
            image = asked if asked in self._images else self._images[0]
        assert image is not None
        return self._shelf(image)


class LeasedProvider(Provider):
    """One loan of a server; see `ProviderPool.lease`. It can be started again, and may then get another server.

    Args:
        pool: Whose.
        image: Of which image; None for the pool's choice.
        timeout_s: Seconds to wait for a server.
    """

    kind = "pool"

    def __init__(self, pool: ProviderPool, image: str | None, timeout_s: float) -> None:
        self._pool = pool
        self._image = image
        self._timeout_s = timeout_s
        self._shelf: Shelf | None = None
        self._turn = Turn()
        self._lent: Member | None = None
        self._last: Provider | None = None

    def launch(self, source: Source) -> list[str]:
        """Take a server from the shelf."""
        self._shelf = self._pool._shelf_for(self._image, source.image)
        self._lent = self._shelf.take(self._turn, self._timeout_s)
        self._last = self._lent.provider
        self.env_vars = self._last.env_vars
        self.replicas = self._last.replicas
        return self._last.urls

    def headers_for(self, url: str) -> Mapping[str, str]:
        """Return what the provider of the server that is lent says."""
        return self.headers if self._last is None else self._last.headers_for(url)

    def shutdown(self) -> None:
        """Give it back."""
        self._lent = None
        if self._shelf is not None:
            self._shelf.give_back(self._turn)
        self._turn = Turn()

    def wait_for_ready(self, timeout_s: float | None = None) -> None:
        """See that it is still there; it was healthy when it was taken from the shelf."""
        if self._lent is None:
            super().wait_for_ready(timeout_s)
        self.check_alive()

    def check_alive(self) -> None:
        """Raise what the lent server's own provider raises."""
        if self._lent is not None:
            self._lent.provider.check_alive()

    def read_log(self, lines: int) -> str:
        """Return the last lines of the lent server, earlier leases included."""
        return self._last.read_log(lines) if self._last is not None else ""

    def _interrupt(self) -> None:
        super()._interrupt()
        self._turn.cancel()

    async def _undo(self, starting: asyncio.Future[str]) -> None:
        self._turn.cancel()  # else it would wait until its budget is over
        await super()._undo(starting)


@atexit.register
def _stop_all() -> None:
    for pool in list(_open):
        try:
            pool.stop()
        except Exception:  # noqa: S110 - the providers are stopped once more, and that tells
            pass
