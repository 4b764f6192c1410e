"""Where the episodes of one environment come from, for whoever trains or evaluates.

Every call gives a `Future`, so a caller that blocks (`.result()`), one inside a running event loop
(`asyncio.wrap_future`) and one that begins many calls before it looks at the first use the same object. All of it
runs on the event loop that the blocking clients of a process share.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from openenv.client import EnvPool, GenericEnvClient
from openenv.client.portal import Portal
from openenv.errors import ConfigurationError, OpenEnvError
from openenv.mcp.types import Tool
from openenv.outcomes import Status
from openenv.rollouts.episode import Client, Episode, Turn

if TYPE_CHECKING:
    from openenv.client.pool import Lease
    from openenv.providers import Provider

__all__ = ["Episodes", "Session"]

T = TypeVar("T")

END_S = 10.0
"""Seconds that the end of a session is waited for at most; the server ends it in any case."""


class Episodes:
    """Where episodes come from: servers, or providers of servers, and the sessions on them.

    ```python
    episodes = Episodes("http://localhost:8000", EchoEnv)
    played = [episodes.begin(seed=seed) for seed in range(64)]         # 64 resets at the same time
    turns = [episode.step(EchoAction(message="hi")) for episode, reset in played if reset.result()]
    ```

    A session is used by one episode after another, each of which begins with a reset. One in which something
    broke is thrown away. It can be pickled; the copy has the addresses, and sessions of its own. So has the copy
    that a fork of the process makes, and an episode that was under way is a fault there.

    Args:
        where: Address of a server, a provider, or a list of either.
        client_class: Of the clients; by default one that knows no types, with dictionaries in and out.
        timeout_s: Seconds until an answer, or word of progress, before the call counts as a fault.
        wait_s: Seconds to wait for a free session.
        attempts: How often an episode is begun, if something broke that may come out differently.
        **client_options: More options of the client class, such as `headers`.

    Raises:
        ConfigurationError: `where` is empty, or an option is wrong.
    """

    def __init__(
        self,
        where: str | Provider | Sequence[str | Provider],
        client_class: type[Client] | None = None,
        *,
        timeout_s: float = 60.0,
        wait_s: float = 30.0,
        attempts: int = 2,
        **client_options: Any,
    ) -> None:
        places: list[Any] = list(where) if isinstance(where, (list, tuple)) else [where]
        if not places or attempts < 1:
            raise ConfigurationError(
                "Episodes need the address of a server or a provider, and at least one attempt"
            )
        self.client_class: type[Client] = client_class or GenericEnvClient
        self.attempts = attempts
        self._client_class = client_class
        self._places = places
        self._options = {"timeout_s": timeout_s, "wait_s": wait_s, "attempts": attempts, **client_options}
        self._actions: Mapping[str, Any] = {}
        self._parents: list[Any] = []
        self._begin(places)
        _all.add(self)

    def _begin(self, places: Sequence[Any]) -> None:
        options = {name: value for name, value in self._options.items() if name not in ("timeout_s", "attempts")}
        self._pool: EnvPool[Client] = EnvPool(
            self.client_class,
            [place for place in places if isinstance(place, str)],
            providers=[place for place in places if not isinstance(place, str)],
            reuse=False,
            message_timeout_s=self._options["timeout_s"],
            **options,
        )
        self._idle: list[Session] = []
        self._open: set[Session] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._counts: Counter[str] = Counter()
        self._portal: Portal | None = None
        self._lock = threading.Lock()

    def _begin_in_fork(self) -> None:
        # Nothing of it is closed, or dropped, which may close it: the parent goes on with it.
        self._parents.append((self._pool, self._portal, self._idle, self._open, self._endings))
        started = self._pool._lender.started
        self._begin([server.url for server in self._pool.metrics.servers] if started else self._places)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.urls, self._client_class, self._options)

    @property
    def urls(self) -> list[str]:
        """Addresses of the servers; providers are started for it."""
        self._submit(self._pool._lender.start).result()
        return [server.url for server in self._pool.metrics.servers]

    @property
    def counts(self) -> dict[str, int]:
        """How many episodes have begun (`episodes`), and how many broke, by cause, such as `environment_died`."""
        return dict(self._counts)

    def begin(self, /, **arguments: Any) -> tuple[Episode, Future[Turn]]:
        """Return a new episode and what will come of its reset; see `Episode.reset`."""
        episode = Episode(self)
        return episode, episode.reset(**arguments)

    def tools(self, /, **arguments: Any) -> list[Tool]:
        """Return the tools of an episode that begins with these arguments; it is ended at once.

        Raises:
            OpenEnvError: It could not begin.
        """
        episode, reset = self.begin(**arguments)
        try:
            turn = reset.result()
            if turn.outcome.status is Status.INFRA_FAULT:
                raise OpenEnvError(turn.error)
            return episode.tools().result()
        finally:
            episode.end().result()

    def close(self) -> None:
        """End all sessions, and the servers that were started. It can be used again afterwards."""
        with self._lock:
            portal, self._portal = self._portal, None
        if portal is not None and portal.is_ours:
            try:
                portal.submit(self._close()).result()
            finally:
                portal.release()

    def __enter__(self) -> Episodes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- on the loop -----------------------------------------------------------------------------

    def _submit(self, function: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        with self._lock:
            if self._portal is None or not self._portal.is_ours:
                self._portal = Portal.acquire()
            return self._portal.submit(function())

    async def _close(self) -> None:
        self._idle.clear()
        for session in list(self._open):
            self._end_soon(session)
        while self._endings:
            await asyncio.gather(*self._endings, return_exceptions=True)
        await self._pool._lender.close()

    async def _session(self, *, fresh: bool) -> Session:
        while self._idle and not fresh:
            session = self._idle.pop()
            if session.connected:
                return session
            self._end_soon(session)
        session = Session(self._pool.lease())
        await session.open()
        self._open.add(session)
        return session

    def _back(self, session: Session, *, broken: bool) -> None:
        if session in self._open:
            if broken:
                self._end_soon(session)
            else:
                self._idle.append(session)

    def _end_soon(self, session: Session) -> None:
        self._open.discard(session)
        task = asyncio.get_running_loop().create_task(session.end())
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    def _count(self, what: str) -> None:
        self._counts[what] += 1


class Session:
    """A session that is leased for as long as its episodes come out well."""

    def __init__(self, lease: Lease[Client]) -> None:
        self._lease = lease
        self.client: Client

    async def open(self) -> None:
        """Wait for a free one."""
        self.client = await self._lease.__aenter__()

    @property
    def connected(self) -> bool:
        """Whether its connection stands."""
        link = self.client._core.link
        return link is not None and link.connected

    async def end(self) -> None:
        """Give it back, whatever becomes of that."""
        with suppress(OpenEnvError, OSError, TimeoutError):
            async with asyncio.timeout(END_S):
                await self._lease.__aexit__(None, None, None)


def _again(urls: list[str], client_class: type[Client] | None, options: dict[str, Any]) -> Episodes:
    return Episodes(urls, client_class, **options)


_all: weakref.WeakSet[Episodes] = weakref.WeakSet()


def _begin_all_in_fork() -> None:
    # At once, while the fork has one thread: a lock of the parent may be held there by a thread that is not here.
    for episodes in list(_all):
        episodes._begin_in_fork()


os.register_at_fork(after_in_child=_begin_all_in_fork)
