"""What every provider is: something that starts environment servers, waits for them, and surely ends them.

A provider writes `launch` and `shutdown` (and `check_alive` and `read_log` if it can). What callers use is
written here, once: `start`, `wait_for_ready`, `stop`, `logs`, the context managers, the async forms, the
cleanup at exit. So all providers agree on when a second start is refused, that `stop` may be called at any
time, and that no secret gets into an error.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, ClassVar, Self, TypeVar

from openenv.errors import ProviderError, ProviderNotReadyError, ProviderStartError, SnapshotError
from openenv.providers.background import finish, in_thread
from openenv.providers.guardian import Guardian
from openenv.providers.ownership import OwnedResource, Ownership
from openenv.providers.readiness import wait_until_healthy
from openenv.providers.redaction import redact
from openenv.providers.source import Source

__all__ = ["Provider"]

_logger = logging.getLogger(__name__)

LINES_IN_ERROR = 20
LONGEST_LINE = 2000

ErrorT = TypeVar("ErrorT", bound=ProviderError)

# By id, for a provider may be a dataclass, which has equality and no hash. A running provider is kept alive
# to be stopped when the program ends, unless its servers end with it anyway.
_running: weakref.WeakValueDictionary[int, Provider] = weakref.WeakValueDictionary()
_kept: dict[int, Provider] = {}
_guardian = Guardian()


class Provider(ABC):
    """Starts one or more servers of an environment and ends them.

    ```python
    with ProcessProvider("echo_env.server.app:app") as provider:
        client = EchoEnv(base_url=provider.base_url)
    ```

    A subclass implements `launch` and `shutdown`; it need not call `super().__init__()`. All methods may be
    called from any thread. A provider that was stopped can be started again.

    Attributes:
        replicas: How many servers it starts.
        ready_timeout_s: Seconds `wait_for_ready` waits when it is not told otherwise.
        env_vars: Environment variables of the servers; those with a secret's name are hidden in logs.
        headers: HTTP headers that every request to a server needs, such as a service's token.
        lifetime_s: Seconds after which the engine ends what was started, whether or not this program still lives;
            None for no limit. Providers whose servers end with this program need none.
        kind: The provider's name in the registry, such as `docker`.
        capabilities: Which of `snapshot`, `restore` and `fork` it can do.
        outlives_program: Whether an engine keeps the servers when this program is killed. They are then watched by
            a guardian process, which reaps them at once.
        ends_with_its_last_reference: Whether dropping a running provider ends its servers.
    """

    replicas: int = 1
    ready_timeout_s: float = 30.0
    env_vars: Mapping[str, str] = MappingProxyType({})
    headers: Mapping[str, str] = MappingProxyType({})
    lifetime_s: float | None = None
    kind: ClassVar[str] = ""
    capabilities: ClassVar[frozenset[str]] = frozenset()
    outlives_program: ClassVar[bool] = False
    ends_with_its_last_reference: ClassVar[bool] = False

    _lock: threading.RLock
    _stopping: threading.Event
    _urls: list[str]
    _owner: int | None
    _ownership: Ownership | None
    _busy_thread: int | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make the state of a provider; not in `__init__`, for older subclasses have none to call."""
        self = super().__new__(cls)
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._urls = []
        self._owner = None  # the process that started it; None while it is stopped
        self._ownership = None  # of what is running; that of the last start afterwards
        self._busy_thread = None  # the thread that is in `launch` or `shutdown`
        return self

    # --- what a provider implements --------------------------------------------------------------

    @abstractmethod
    def launch(self, source: Source, *args: Any, **options: Any) -> list[str]:
        """Start the servers and return their base URLs; they need not be ready.

        Whatever it raises, `shutdown` is called next, so a launch that got half way needs no cleanup of
        its own. A subclass names the options it knows and leaves the rest of this signature out.

        Args:
            source: What the client class knows; for a provider that was made without a target.
            *args: Nothing; it makes every narrower signature a valid one.
            **options: Keyword arguments of `start`.
        """

    @abstractmethod
    def shutdown(self) -> None:
        """End everything `launch` started, however far it got, and wait until it is gone.

        It is also called for a start that failed before its `launch`; there is nothing to end then.

        Raises:
            ProviderError: Something could not be ended. The provider counts as running and `stop` can be
                called again.
        """

    def check_alive(self) -> None:  # noqa: B027 - a provider that cannot tell has nothing to do here
        """Raise ProviderStartError (made with `failure`) if a server has ended; called while waiting."""

    def read_log(self, lines: int) -> str:
        """Return the last lines the servers wrote, secrets and all; empty if they cannot be read."""
        return ""

    def headers_for(self, url: str) -> Mapping[str, str]:
        """Return the HTTP headers that requests to one of `urls` need; `headers` unless they differ."""
        return self.headers

    def where(self) -> dict[str, str]:
        """Return how another process reaches the same engine, for `owned`; empty for the usual way."""
        return {}

    @classmethod
    def owned(cls, where: Mapping[str, str]) -> list[OwnedResource]:
        """Return everything that the engine keeps and a provider of this kind has made, by whichever program.

        Args:
            where: How to reach the engine, as `where` of a provider tells; empty for the usual way.

        Raises:
            EngineUnavailableError: It cannot be asked.
        """
        return []

    @classmethod
    def remove(cls, resource: OwnedResource) -> None:
        """Remove one of `owned`; nothing happens if it is gone already.

        Raises:
            ProviderError: It could not be removed.
        """
        raise ProviderError(f"{cls.__name__} keeps nothing that could be removed.")

    def snapshot(self) -> str:
        """Keep the state of the running server, and return an id for `restore`. See `capabilities`.

        Raises:
            SnapshotError: This provider cannot, or it failed.
        """
        raise self._incapable("snapshot")

    def restore(self, snapshot: str) -> Self:
        """Return a new provider, not started, whose server will begin in the state that was kept.

        Raises:
            SnapshotError: This provider cannot, or there is no such snapshot.
        """
        raise self._incapable("restore")

    def fork(self, count: int) -> list[Self]:
        """Return new providers, not started, whose servers will begin in the state this one is in now.

        Raises:
            SnapshotError: This provider cannot, or it failed.
        """
        if "fork" not in self.capabilities:
            raise self._incapable("fork")
        kept = self.snapshot()
        return [self.restore(kept) for _ in range(count)]

    def _incapable(self, what: str) -> SnapshotError:
        can = ", ".join(sorted(self.capabilities)) or "none of snapshot, restore and fork"
        return SnapshotError(f"{self._name} cannot {what}; it can {can}.")

    @property
    def ownership(self) -> Ownership:
        """What is to be written on everything that `launch` makes; there from the start on.

        Raises:
            ProviderError: It was never started.
        """
        if self._ownership is None:
            raise ProviderError(f"{self._name} was never started; call start() first.")
        return self._ownership

    # --- what callers use ------------------------------------------------------------------------

    def start(self, source: Source | None = None, **options: Any) -> str:
        """Start the servers and return the base URL of the first.

        Args:
            source: What a client class knows of its environment, `Source.of(EchoEnv)`. It is used where the
                provider itself was made without a target.
            **options: What else this provider takes for one start; most take nothing.

        Raises:
            ProviderStartError: It could not be started, or is running already; each needs its own provider.
            ConfigurationError: The provider has no usable target.
        """
        return self._begin(lambda: self.launch(source or Source(), **options))

    def wait_for_ready(self, timeout_s: float | None = None) -> None:
        """Wait until `GET /health` of every server answers `{"status": "healthy"}`.

        It does not stop a server that is late: it can be called again. The context managers stop it.

        Args:
            timeout_s: Seconds for all of them together; None takes `ready_timeout_s`.

        Raises:
            ProviderNotReadyError: They were not ready in time.
            ProviderStartError: A server ended, or the provider was stopped meanwhile.
            ProviderError: The provider was not started.
        """
        self._wait([self.base_url, *self.urls[1:]], timeout_s)

    def stop(self) -> None:
        """End the servers and everything they started, and wait until they are gone.

        It may be called at any time, from any thread and more than once; a running `wait_for_ready` ends.

        Raises:
            ProviderError: Something could not be ended; call it again.
        """
        self._end(self.shutdown)

    def logs(self, tail: int = 50) -> str:
        """Return the last `tail` lines the servers wrote, secrets hidden; also after they have ended."""
        shown = redact(self.read_log(tail), self.env_vars)
        return "\n".join(line[:LONGEST_LINE] for line in shown.split("\n"))

    @property
    def urls(self) -> list[str]:
        """The base URLs of all servers, first replica first; empty when nothing runs."""
        return list(self._urls)

    @property
    def base_url(self) -> str:
        """The base URL of the first server.

        Raises:
            ProviderError: Nothing runs.
        """
        urls = self.urls
        if not urls:
            raise ProviderError(f"{self._name} is not running, so it has no URL; call start() first.")
        return urls[0]

    @base_url.setter
    def base_url(self, url: str) -> None:
        # Providers of older releases keep their address under this name.
        self._urls = [url]

    def failure(self, kind: type[ErrorT], message: str) -> ErrorT:
        """Return an error with the log's last lines; secrets are hidden in both."""
        return kind(redact(message, self.env_vars), log_tail=Provider.logs(self, LINES_IN_ERROR))

    def __enter__(self) -> Self:
        self.start()  # not below: if it is refused, what runs is another caller's
        try:
            self.wait_for_ready()
        except BaseException as error:
            self._stop_after(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- the same for an event loop --------------------------------------------------------------

    async def astart(self, source: Source | None = None, **options: Any) -> str:
        """Do what `start` does, in a thread. If it is cancelled, whatever came up is stopped first."""
        starting = in_thread(self.start, source, **options)
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            await finish(self._undo(starting))
            raise

    async def await_ready(self, timeout_s: float | None = None) -> None:
        """Do what `wait_for_ready` does, in a thread. Cancelling it leaves the servers running."""
        await in_thread(self.wait_for_ready, timeout_s=timeout_s)

    async def astop(self) -> None:
        """Do what `stop` does, in a thread. It runs to its end even if it is cancelled."""
        await finish(in_thread(self.stop))

    async def _undo(self, starting: asyncio.Future[str]) -> None:
        try:
            await starting
        except Exception:  # it did not come up, and has been cleaned up by `start`
            return
        await in_thread(self.stop)

    async def __aenter__(self) -> Self:
        await self.astart()
        try:
            await self.await_ready()
        except BaseException as error:
            await finish(in_thread(self._stop_after, error))
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.astop()

    # --- the life of a provider ------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return type(self).__name__

    @property
    def _inside(self) -> bool:
        """Whether the calling thread is in `launch` or `shutdown` of this provider."""
        return self._busy_thread == threading.get_ident()

    def _begin(self, launch: Callable[[], list[str]]) -> str:
        with self._lock:
            if self._owner is not None:
                raise ProviderStartError(
                    f"{self._name} is running already; stop() it first, or make a second provider."
                )
            self._ownership = Ownership.new(self.kind or self._name.lower(), self.lifetime_s)
            self._stopping = threading.Event()  # before the owner: from then on `stop` sets it
            self._owner = os.getpid()
            try:
                _running[id(self)] = self
                if not self.ends_with_its_last_reference:
                    _kept[id(self)] = self
                if self.outlives_program:
                    _guardian.watch(self._ownership.name, self._gc_arguments())
                self._urls = self._call(launch)
                return self.base_url
            except BaseException as error:
                self._stop_after(error)
                raise

    def _end(self, shutdown: Callable[[], None]) -> None:
        if not self._is_ours():  # before the lock: a fork may hold a copy that nobody will ever release
            return
        self._interrupt()
        with self._lock:
            if not self._is_ours():
                return
            self._call(shutdown)
            self._owner = None
            self._urls = []
            if self._ownership is not None:
                _guardian.forget(self._ownership.name)
            _running.pop(id(self), None)
            _kept.pop(id(self), None)

    def _interrupt(self) -> None:
        """Tell whatever waits that it should not wait any longer; called without the lock."""
        self._stopping.set()

    def _gc_arguments(self) -> list[str]:
        """Return what tells `openenv gc` where the servers are."""
        where = [argument for pair in self.where().items() for argument in ("--where", "=".join(pair))]
        return ["--provider", registered_name(type(self)), *where]

    def _is_ours(self) -> bool:
        """Whether this process has started it; a fork holds a mere copy, and must not end what it copied."""
        return self._owner == os.getpid()

    def _wait(self, urls: list[str], timeout_s: float | None) -> None:
        budget = self.ready_timeout_s if timeout_s is None else timeout_s
        stopping = self._stopping
        problem = wait_until_healthy(
            urls,
            timeout_s=budget,
            check_alive=self.check_alive,
            interrupted=stopping,
            headers_for=self.headers_for,
        )
        if problem is None:
            return
        if stopping.is_set():
            raise self.failure(ProviderStartError, f"{self._name} was stopped before it was ready.")
        self.check_alive()
        raise self.failure(
            ProviderNotReadyError,
            f"{self._name} was not ready within its ready budget of {budget:g} s: at {urls[0]}, {problem}. "
            "If it needs longer, set ready_timeout_s of the provider or call wait_for_ready(timeout_s=...).",
        )

    def _stop_after(self, error: BaseException) -> None:
        """Stop because of an error, which is the one that people are to see."""
        try:
            self.stop()
        except Exception as another:
            error.add_note(f"Stopping the provider failed as well: {another}")

    def _call(self, function: Callable[[], Any]) -> Any:
        before = self._busy_thread
        self._busy_thread = threading.get_ident()
        try:
            return function()
        finally:
            self._busy_thread = before


@atexit.register
def _stop_all() -> None:
    for provider in list(_running.values()):
        try:
            provider.stop()
        except Exception as error:  # the next one is to be stopped all the same
            _logger.warning("%s could not be stopped at exit: %s", type(provider).__name__, error)
    _guardian.leave()


def registered_name(cls: type[Provider]) -> str:
    """Return the name under which another process finds a class: that of the registry, else `module:class`."""
    return cls.kind or f"{cls.__module__}:{cls.__qualname__}"
