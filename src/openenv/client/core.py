"""What a client does, whichever way it is called: one session on one link, on one event loop.

The rule that shapes it: once a session is lost, only `reset` goes on, on a new one. A step or a state request
after a loss fails, so nothing ever runs on an environment that this client did not reset.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from openenv.client.link import Link
from openenv.errors import ConnectionFailedError, InvalidReplyError, SessionLost
from openenv.protocol.address import http_address, place

if TYPE_CHECKING:
    from openenv.providers import Provider
    from openenv.providers.source import Source

ModelT = TypeVar("ModelT", bound=BaseModel)


class Connectable(Protocol):
    """What a `Keeper` keeps."""

    @property
    def connected(self) -> bool:
        """Whether requests can be sent."""

    async def connect(self) -> None:
        """Connect, and open what there is to open."""

    async def close(self) -> None:
        """End all of it."""


LinkT = TypeVar("LinkT", bound=Connectable)


class Keeper(Generic[LinkT]):
    """Makes a link to a server when one is needed, and ends it; the server too, if it is ours.

    Args:
        make_link: Makes the link, given the server's address.
        base_url: Address of the server; None if the provider tells it.
        provider: Starts the server at the first connect and stops it at close.
        source: Tells the provider what to start.
    """

    def __init__(
        self,
        make_link: Callable[[str], LinkT],
        base_url: str | None,
        provider: Provider | None = None,
        source: Source | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/") if base_url else None
        self.link: LinkT | None = None
        self._next: LinkT | None = None  # what takes the place of a link that is lost, if it is there already
        self.source = source
        self.start_options: dict[str, Any] = {}
        self._make_link = make_link
        self._provider = provider
        self._provider_runs = False
        self._connecting = asyncio.Lock()
        self._closes = 0
        self._closed: str | None = None

    @property
    def untouched(self) -> bool:
        """Whether there is nothing to close."""
        return self.link is None and self._next is None and not self._provider_runs

    async def connect(self) -> None:
        """Start the server if that is ours to do, and open a session, unless there is one.

        Raises:
            ConnectionFailedError: Nobody answers.
            ProviderError: The server could not be started.
            SessionLost: The client was closed while it connected.
        """
        if asyncio.current_task() is None:  # driven by `Portal.run`; what follows needs a task
            await asyncio.get_running_loop().create_task(self.connect())
            return
        closes = self._closes
        async with self._connecting:
            if self.link is not None and self.link.connected:
                return
            if self._next is not None and not self._next.connected:
                await self._next.close()
                self._next = None
            if self.link is not None:
                await self.link.close()
            link = self._next or await self._made(closes)
            self.link, self._next = link, None

    async def _made(self, closes: int) -> LinkT:
        """Return a link that is connected, unless the client has been closed since."""
        if self._provider is not None and not self._provider_runs:
            await self._provide(self._provider)
        assert self.base_url is not None
        link = self._make_link(self.base_url)
        await link.connect()
        if closes != self._closes:
            await link.close()
            raise SessionLost("The client was closed while it connected")
        return link

    async def asked(self) -> LinkT:
        """Return a link to ask a question over that is none about the episode.

        After a loss it is the one that the next reset will use. Steps do not: their episode is gone.

        Raises:
            SessionLost: The client was closed.
            ConnectionFailedError: Nobody answers.
        """
        link = await self.live()
        if link.connected:
            return link
        closes = self._closes
        async with self._connecting:
            if self._next is None or not self._next.connected:
                if self._next is not None:
                    await self._next.close()
                self._next = await self._made(closes)
            return self._next

    async def live(self, *, again: bool = False) -> LinkT:
        """Return the link; make it first if there has been none yet.

        Args:
            again: Make another if it was closed or lost.

        Raises:
            SessionLost: It was closed, and is not to be made again.
        """
        if self.link is None or (again and not self.link.connected):
            if self._closed is not None and not again:
                raise SessionLost(self._closed)
            await self.connect()
            assert self.link is not None
        return self.link

    def hand_over(self, why: str) -> list[LinkT]:
        """Give away what links there are, the one in use first; whoever asks for it here is told why it is gone."""
        links = [link for link in (self.link, self._next) if link is not None]
        self.link = self._next = None
        self._closed = why
        return links

    async def get(self, path: str, model: type[ModelT], headers: Mapping[str, str]) -> ModelT:
        """Return what the server answers to a GET with these headers.

        Raises:
            ConnectionFailedError: Nobody answers, or not with success.
            InvalidReplyError: The answer is not of this form.
        """
        import httpx

        if self.base_url is None:
            await self.connect()
        base, file = place(http_address(str(self.base_url)))
        url = f"{base}{path}"
        try:
            # Certificates take longer to load than all the rest, so not where none are looked at.
            async with httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(uds=file) if file is not None else None,
                timeout=30,
                headers=dict(headers),
                trust_env=False,
                verify=url.startswith("https://"),
            ) as http:
                response = await http.get(url)
                response.raise_for_status()
        except httpx.HTTPError as error:
            raise ConnectionFailedError(f"GET {url} failed: {error}") from error
        try:
            return model.model_validate_json(response.content)
        except ValueError as error:
            raise InvalidReplyError(f"GET {url} answered something else: {error}") from error

    async def close(self) -> None:
        """End the session, the connection, and the server if it is ours."""
        self._closes += 1  # tells a `connect` under way that its link is not wanted any more
        link, self.link = self.link, None
        spare, self._next = self._next, None
        if link is not None:
            self._closed = "The client was closed, and its session with it; reset() opens a new one"
        try:
            for one in (link, spare):
                if one is not None:
                    await one.close()
        finally:
            if self._provider is not None and self._provider_runs:
                self._provider_runs = False
                await self._provider.astop()

    async def _provide(self, provider: Provider) -> None:
        self._provider_runs = True  # from here on there may be something to stop
        try:
            url = await provider.astart(self.source, **self.start_options)
        except BaseException:
            self._provider_runs = False  # what runs, if the start was refused, is another caller's
            raise
        self.base_url = url.rstrip("/")
        try:
            await provider.await_ready()
        except BaseException:
            self._provider_runs = False
            await provider.astop()
            raise


class Core(Keeper[Link]):
    """The one session of a client."""

    async def cancel(self) -> bool:
        """Stop the request under way on the server; return whether there was one, and a way to stop it."""
        return await self.link.cancel() if self.link is not None else False
