"""The wires to an MCP server at a URL: streamable HTTP, and the older one of server-sent events.

A URL that ends in `/sse` is taken for the older one, as by everybody; any other is tried as the newer one first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from openenv.mcp.foreign.address import ServerAddress

__all__ = ["Wire", "wires"]

Wire = Callable[[], AbstractAsyncContextManager[Any]]

# What a call may take is said by its own budget; these are for the network under it.
CONNECT_S = 30.0
UNLIMITED_S = 24 * 3600.0

SESSION_ID, NOT_FOUND = "mcp-session-id", 404


def wires(address: ServerAddress, forgotten: Callable[[], None]) -> list[Wire]:
    """Return the ways to speak to a URL, the likelier one first.

    Args:
        address: The URL.
        forgotten: Called when the server no longer knows the session, of which the SDK tells only if it also has
            nothing else to say.
    """
    assert address.url is not None
    ways: list[Wire] = [lambda: _streamable(address, forgotten), lambda: _events(address)]
    return ways[::-1] if urlsplit(address.url).path.rstrip("/").endswith("/sse") else ways


@asynccontextmanager
async def _streamable(address: ServerAddress, forgotten: Callable[[], None]) -> AsyncIterator[Any]:
    assert address.url is not None

    async def look(response: httpx2.Response) -> None:
        if response.status_code == NOT_FOUND and SESSION_ID in response.request.headers:
            forgotten()

    async with (
        httpx2.AsyncClient(
            headers=dict(address.headers),
            timeout=httpx2.Timeout(CONNECT_S, read=None),
            event_hooks={"response": [look]},
        ) as http,
        streamable_http_client(address.url, http_client=http, max_sse_event_size=None) as streams,
    ):
        yield streams


def _events(address: ServerAddress) -> AbstractAsyncContextManager[Any]:
    assert address.url is not None
    return sse_client(address.url, headers=dict(address.headers), timeout=CONNECT_S, sse_read_timeout=UNLIMITED_S)
