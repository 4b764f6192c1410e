"""How a client reaches a server: `Link`, and the version 1 WebSocket.

Version 1 has no request ids; a session answers in order. So a link has one request under way, and knows by
counting which replies belong to requests that nobody waits for any more. Those are dropped, never handed to the
next caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from openenv.errors import (
    BudgetExceededError,
    ConnectionFailedError,
    MessageTooLargeError,
    SessionLost,
)
from openenv.settings import DEFAULT_MAX_MESSAGE_SIZE_MB, MIB

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

MAX_SIZE_HEADER = "x-openenv-max-message-size"
_TOO_LARGE_CLOSE = 1009


@dataclass(frozen=True)
class LinkOptions:
    """Budgets and limits of a link; times in seconds, sizes in MiB."""

    connect_timeout_s: float = 10.0
    message_timeout_s: float = 60.0
    max_message_size_mb: float = DEFAULT_MAX_MESSAGE_SIZE_MB
    ping_interval_s: float | None = 20.0
    ping_timeout_s: float | None = 20.0
    headers: Mapping[str, str] = field(default_factory=dict)


class Link(Protocol):
    """One session's way to its server. All methods are called on one event loop."""

    late_replies: int
    """Replies that came after their caller had given up."""

    @property
    def connected(self) -> bool:
        """Whether requests can be sent."""

    async def connect(self) -> None:
        """Open the connection and with it the session.

        Raises:
            ConnectionFailedError: Nobody answers at the address.
            BudgetExceededError: Nobody answered within the connect budget.
        """

    async def request(self, verb: str, data: bytes | None = None) -> bytes:
        """Send a request and return the reply frame.

        Args:
            verb: `reset`, `step` or `state`.
            data: JSON of its data.

        Raises:
            SessionLost: The connection is gone, and the session with it.
            BudgetExceededError: No reply within the message budget; the session goes on.
            MessageTooLargeError: The request is over the limit; nothing was sent.
        """

    async def close(self) -> None:
        """End the session and the connection."""


def websocket_url(base_url: str) -> str:
    """Return the address of the WebSocket of a server: `http://host/x` gives `ws://host/x/ws`."""
    url = base_url.rstrip("/")
    for plain, socket in (("http://", "ws://"), ("https://", "wss://")):
        if url.startswith(plain):
            url = socket + url[len(plain) :]
    return url if url.endswith("/ws") else f"{url}/ws"


class WebSocketLink:
    """A version 1 WebSocket."""

    def __init__(self, url: str, options: LinkOptions) -> None:
        self.url = url
        self.late_replies = 0
        self.socket: ClientConnection | None = None
        self._options = options
        self._turn = asyncio.Lock()
        self._abandoned = 0
        self._limit = int(options.max_message_size_mb * MIB)

    @property
    def connected(self) -> bool:
        """Whether requests can be sent."""
        return self.socket is not None

    async def connect(self) -> None:
        """See `Link.connect`."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        options = self._options
        budget = options.connect_timeout_s
        try:
            self.socket = await connect(
                self.url,
                open_timeout=budget,
                max_size=self._limit,
                ping_interval=options.ping_interval_s,
                ping_timeout=options.ping_timeout_s,
                additional_headers=dict(options.headers),
                compression=None,
                proxy=None if _is_loopback(self.url) else True,
            )
        except TimeoutError as error:
            raise BudgetExceededError(
                f"{self.url} did not answer within the connect budget of {budget:g} s; "
                "raise connect_timeout_s if it is slow",
                budget="connect",
                seconds=budget,
            ) from error
        except (OSError, WebSocketException) as error:
            raise ConnectionFailedError(
                f"Failed to connect to {self.url}: {error}. Is the server running there?"
            ) from error
        response = self.socket.response
        theirs = response.headers.get(MAX_SIZE_HEADER, "") if response is not None else ""
        if theirs.isdigit():
            self._limit = min(self._limit, int(theirs))

    async def request(self, verb: str, data: bytes | None = None) -> bytes:
        """See `Link.request`."""
        raw = (
            b'{"type":"%s"}' % verb.encode() if data is None else b'{"type":"%s","data":%s}' % (verb.encode(), data)
        )
        if len(raw) > self._limit:
            raise MessageTooLargeError(
                f"The {verb} request has {len(raw):,} bytes and the limit is {self._limit:,}; "
                "send less, or raise max_message_size_mb on both sides"
            )
        budget = self._options.message_timeout_s
        try:
            async with asyncio.timeout(budget), self._turn:
                return await self._exchange(raw)
        except TimeoutError as error:
            raise BudgetExceededError(
                f"The {verb} was not answered within the message budget of {budget:g} s. It may still be executed; "
                "its answer will be dropped. Raise message_timeout_s if this is normal",
                budget=verb,
                seconds=budget,
            ) from error

    async def _exchange(self, raw: bytes) -> bytes:
        from websockets.exceptions import ConnectionClosed

        socket = self.socket
        if socket is None:
            raise SessionLost("The connection was closed")
        try:
            self._abandoned += 1  # until its reply is here
            await socket.send(raw, text=True)
            while True:
                reply = await socket.recv(decode=False)
                self._abandoned -= 1
                if self._abandoned == 0:
                    return reply
                self.late_replies += 1
        except ConnectionClosed as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> Exception:
        self.socket = None
        self._abandoned = 0
        received = getattr(error, "rcvd", None) or getattr(error, "sent", None)
        if received is not None and received.code == _TOO_LARGE_CLOSE:
            return MessageTooLargeError(
                "A message was over the size limit, so the connection was closed and its session is lost; "
                "raise max_message_size_mb on both sides"
            )
        return SessionLost(
            f"The connection to {self.url} was lost ({error}), and with it the session and its episode; "
            "reset() starts a new one"
        )

    async def close(self) -> None:
        """See `Link.close`."""
        from websockets.exceptions import ConnectionClosed

        socket, self.socket = self.socket, None
        self._abandoned = 0
        if socket is not None:
            try:
                await socket.send('{"type":"close"}')
            except ConnectionClosed:
                pass
            await socket.close()


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
