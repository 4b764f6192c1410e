"""What of a pool lives on its event loop: its servers, and the sessions that are out, idle or on their way back.

Nothing runs while nobody wants anything: there is no timer, and servers are asked only for somebody who waits.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from openenv.client.gathering import together
from openenv.client.link import Link
from openenv.client.members import Member, ServerStatus
from openenv.errors import (
    BudgetExceededError,
    ConnectionFailedError,
    OpenEnvError,
    SessionCapacityError,
    SessionLost,
)
from openenv.protocol.client_codec import reply_data
from openenv.providers.source import Source

if TYPE_CHECKING:
    from openenv.client.base import EnvClient
    from openenv.providers import Provider

ClientT = TypeVar("ClientT", bound="EnvClient[Any, Any, Any]")

GRACE_S = 1.0
"""Seconds that a lease waits for servers to say how they stand, if others are known to have room."""

_OVER = "The lease of this session is over; lease another one"
_CLOSED = "The pool was closed, and its sessions with it"


@dataclass(frozen=True)
class PoolMetrics:
    """What a pool has done so far.

    Attributes:
        leases: How many were given.
        active: How many are out, or being made.
        hits: How many got a session that was there already, rather than a new one.
        waits: How many had to wait because no session was free.
        waited_s: Seconds they waited, all together.
        refused: How many were given up after the wait limit.
        servers: How each server stands.
    """

    leases: int = 0
    active: int = 0
    hits: int = 0
    waits: int = 0
    waited_s: float = 0.0
    refused: int = 0
    servers: tuple[ServerStatus, ...] = ()

    @property
    def hit_rate(self) -> float:
        """Share of the leases that got a session that was there already."""
        return self.hits / self.leases if self.leases else 0.0


class Lender(Generic[ClientT]):
    """What of a pool lives on its event loop; the arguments are those of `EnvPool`.

    Attributes:
        started: Whether the servers that it has to start run.
    """

    def __init__(
        self,
        client_class: type[ClientT],
        urls: Sequence[str],
        providers: Sequence[Provider],
        reuse: bool,
        options: dict[str, Any],
    ) -> None:
        self._client_class = client_class
        self._options = options
        self._reuse = reuse
        self._providers = providers
        self._given = [self._member(url) for url in urls]
        if not urls:
            client_class(provider=providers[0], **options)  # so that a wrong option is told now
        self._members = list(self._given)
        self._running: list[Provider] = []
        self._starting = asyncio.Lock()
        self._turn = asyncio.Lock()
        self._news = asyncio.Event()
        self._out: dict[ClientT, Member] = {}
        self._returning: set[Link] = set()
        self._asking: set[asyncio.Task[None]] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self.started = self._closed = False
        self._counted = PoolMetrics()

    @property
    def untouched(self) -> bool:
        """Whether there is nothing to close."""
        busy = self._running or self._out or self._asking or self._endings
        return not (busy or any(member.idle for member in self._members))

    def metrics(self) -> PoolMetrics:
        """Return what has been done so far."""
        servers = tuple(member.status() for member in list(self._members))
        return replace(self._counted, active=len(self._out), servers=servers)

    def _member(self, url: str) -> Member:
        client = self._client_class(base_url=url, **self._options)
        return Member(url.rstrip("/"), client._make_link, client._options.headers)

    # --- servers of its own ----------------------------------------------------------------------

    async def start(self) -> None:
        """Start the providers' servers, unless they run.

        Raises:
            ProviderError: One of them could not be started; the others are stopped again.
        """
        async with self._starting:
            if self.started:
                return
            self._closed = False
            self._running = list(self._providers)  # from here on there may be something to stop
            source = Source.of(self._client_class)
            try:
                await together(self._provide(provider, source) for provider in self._providers)
            except BaseException:
                await self._stop_providers()
                raise
            self._members = self._given + [self._member(url) for p in self._providers for url in p.urls]
            self.started = True

    async def _provide(self, provider: Provider, source: Source) -> None:
        try:
            await provider.astart(source)
        except BaseException:  # what runs, if the start was refused, is another caller's
            mine = next((index for index, one in enumerate(self._running) if one is provider), None)
            if mine is not None:  # else the pool was closed meanwhile
                del self._running[mine]
            raise
        await provider.await_ready()

    async def _stop_providers(self) -> None:
        running, self._running = self._running, []
        await together(provider.astop() for provider in running)

    # --- leases ----------------------------------------------------------------------------------

    async def take(self, wait_s: float) -> ClientT:
        """Return a client with a session; raises what `EnvPool.lease` says."""
        if self._closed:
            raise OpenEnvError(_CLOSED)
        await self.start()
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(wait_s) as limit:
                return await self._take(began)
        except TimeoutError:
            if not limit.expired():
                raise
            self._count(refused=1)
            raise SessionCapacityError(
                f"No session was free within {wait_s:g} s (wait_s): {self._how_servers_stand()}. "
                "Add servers, raise max_concurrent_envs on them, or wait longer"
            ) from None

    async def _take(self, began: float) -> ClientT:
        waited = False
        while True:
            member, had_to_wait = await self._choose()
            waited = waited or had_to_wait
            client = self._client_class(base_url=member.url, **self._options)
            self._out[client] = member
            try:
                hit = await self._open(client, member)
                if self._closed:
                    raise OpenEnvError(_CLOSED)
            except BaseException as error:
                self._forget(client)
                if not _is_passing(error, member):
                    raise
                continue
            seconds = asyncio.get_running_loop().time() - began if waited else 0.0
            self._count(leases=1, hits=int(hit), waits=int(waited), waited_s=seconds)
            return client

    async def _choose(self) -> tuple[Member, bool]:
        """Return the best server, one place on it reserved; wait until there is one. First come, first served."""
        waited = self._turn.locked()
        async with self._turn:
            while not self._closed:
                self._news.clear()
                await self._ask_servers()
                worth = [(value, member) for member in self._members if (value := member.worth()) is not None]
                if worth:
                    _, best = max(worth, key=lambda pair: pair[0])
                    best.leased += 1
                    return best, waited
                waited = True
                await self._wait()
        raise OpenEnvError(_CLOSED)

    async def _ask_servers(self) -> None:
        """Ask servers of which it is time to; those that are slow to answer are not waited for."""
        now = asyncio.get_running_loop().time()
        due = [member for member in self._members if member.pause(now) <= 0]
        if due:
            await asyncio.wait([self._spawn(self._ask(member), self._asking) for member in due], timeout=GRACE_S)

    async def _ask(self, member: Member) -> None:
        await member.refresh()
        self._news.set()

    async def _wait(self) -> None:
        """Wait until a session comes back, a server answers, or it is time to ask one again."""
        now = asyncio.get_running_loop().time()
        pause = min(member.pause(now) for member in self._members)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause if pause < math.inf else None):
                await self._news.wait()

    async def _open(self, client: ClientT, member: Member) -> bool:
        """Give the client a session; return whether it was there already."""
        while member.idle:
            link = member.idle.pop()
            if link.connected:
                client._core.link = link
                return True
            self._spawn(_close(link), self._endings)
            member.doubt()
        await client._core.connect()
        return False

    def give_back(self, client: ClientT) -> None:
        """End a lease."""
        member = self._out.pop(client, None)
        if member is None:  # the pool was closed meanwhile
            return
        links = client._core.hand_over(_OVER)
        for spare in links[1:]:
            self._spawn(_close(spare), self._endings)
        if not links:
            self._release(member)
        else:
            self._returning.add(links[0])
            self._spawn(self._recycle(links[0], member), self._endings)

    async def _recycle(self, link: Link, member: Member) -> None:
        """Reset the session of a lease that is over and keep it for the next one, or end it."""
        kept = False
        try:
            if not link.connected:
                member.doubt()
            elif self._reuse:
                reset = await link.request("reset", link.format.pack({}, "reset arguments"))
                reply_data(reset.raw)
                kept = True
        except OpenEnvError:  # then it is not kept, and its next user gets a new one
            pass
        if link in self._returning:  # else the pool was closed meanwhile, and the link with it
            self._returning.remove(link)
            if kept:
                member.idle.append(link)
            else:
                await _close(link)
        self._release(member)

    def _forget(self, client: ClientT) -> None:
        member = self._out.pop(client, None)
        if member is not None:
            self._release(member)
        for link in client._core.hand_over(_OVER):
            self._spawn(_close(link), self._endings)

    def _release(self, member: Member) -> None:
        member.leased -= 1
        self._news.set()

    async def close(self) -> None:
        """End all sessions, also those that are out, and the providers' servers."""
        self._closed = True
        self.started = False
        self._news.set()
        out, self._out = self._out, {}
        links = [link for client in out for link in client._core.hand_over(_CLOSED)]
        for member in out.values():
            self._release(member)
        links += self._returning  # a reset that is under way there fails
        self._returning.clear()
        for member in self._members:
            links += member.idle
            member.idle = []
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*(_close(link) for link in links))
        while tasks := [*self._endings, *self._asking]:  # what ends may have begun another end meanwhile
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._stop_providers()

    # --- bookkeeping -----------------------------------------------------------------------------

    def _count(self, **more: float) -> None:
        counted = self._counted
        self._counted = replace(counted, **{name: getattr(counted, name) + value for name, value in more.items()})

    def _how_servers_stand(self) -> str:
        return "; ".join(map(_told, self.metrics().servers))

    @staticmethod
    def _spawn(coroutine: Coroutine[Any, Any, None], into: set[asyncio.Task[None]]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        into.add(task)
        task.add_done_callback(into.discard)
        return task


def _is_passing(error: BaseException, member: Member) -> bool:
    """Take note of why a server gave no session; return whether another, or the same one later, may give one."""
    if isinstance(error, SessionCapacityError):
        member.full()
    elif isinstance(error, ConnectionFailedError | BudgetExceededError | SessionLost):
        member.failed(str(error))
    else:
        return False
    return True


def _told(server: ServerStatus) -> str:
    if server.down is not None:
        return f"{server.url} is left out for a while ({server.down})"
    room = "an unknown number" if server.free is None else server.free
    return f"{server.url} has {room} free, {server.leased} leased by this pool"


async def _close(link: Link) -> None:
    with suppress(OpenEnvError):
        await link.close()
