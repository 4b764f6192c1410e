"""`with_provider`: servers and their clients for the length of a `with` or `async with`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from openenv.providers.source import Source

if TYPE_CHECKING:
    from openenv.client.base import EnvClient
    from openenv.providers import Provider

ClientT = TypeVar("ClientT", bound="EnvClient[Any, Any, Any]")


class Launch(Generic[ClientT]):
    """Starts a provider's servers and connects a client to each; ends both on the way out.

    Entering gives the client, or a list of them if the provider has several replicas.

    Args:
        client_class: The class of the clients.
        provider: Starts the servers.
        options: Keyword arguments of each client.
    """

    def __init__(self, client_class: type[ClientT], provider: Provider, options: Mapping[str, Any]) -> None:
        self._client_class = client_class
        self._provider = provider
        self._options = options
        self._clients: list[ClientT] = []

    async def __aenter__(self) -> ClientT:
        await self._provider.astart(Source.of(self._client_class))
        try:
            await self._provider.await_ready()
            self._make_clients()
            await asyncio.gather(*(client.__aenter__() for client in self._clients))
        except BaseException:
            await self._aend()
            raise
        return self._entered()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._aend()

    def __enter__(self) -> ClientT:
        # Not below: if it is refused, it runs for somebody else.
        self._provider.start(Source.of(self._client_class))
        try:
            self._provider.wait_for_ready()
            self._make_clients()
            for client in self._clients:
                client.__enter__()
        except BaseException:
            self._end()
            raise
        return self._entered()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _make_clients(self) -> None:
        self._clients = [self._client_class(base_url=url, **self._options_for(url)) for url in self._provider.urls]

    def _options_for(self, url: str) -> Mapping[str, Any]:
        """Return the options with what the provider says is needed; the caller's own headers win."""
        needed = self._provider.headers_for(url)
        if not needed:
            return self._options
        return {**self._options, "headers": {**needed, **(self._options.get("headers") or {})}}

    def _entered(self) -> ClientT:
        if self._provider.replicas == 1:
            return self._clients[0]
        return cast("ClientT", self._clients)

    async def _aend(self) -> None:
        try:
            leaving = (client.__aexit__(None, None, None) for client in self._clients)
            await asyncio.gather(*leaving, return_exceptions=True)
        finally:
            await self._provider.astop()

    def _end(self) -> None:
        try:
            for client in self._clients:
                client.close()
        finally:
            self._provider.stop()
