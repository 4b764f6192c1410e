"""How a client reaches a server: `Link`, and the version 1 WebSocket.

Version 1 has no request ids, but a session answers in order. So replies are matched by order: the first waits
for the first. A reply whose caller has given up is dropped when it comes, never handed to the next.
"""

from __future__ import annotations

import asyncio
import urllib.request
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from openenv.client.calls import late
from openenv.client.progress import OnProgress
from openenv.errors import (
    BudgetExceededError,
    ConnectionFailedError,
    InvalidReplyError,
    MessageTooLargeError,
    RequestError,
    SessionLost,
)
from openenv.protocol.address import is_unix, shown, websocket_address
from openenv.protocol.client_codec import reply_data
from openenv.protocol.formats import JSON, Format, Incoming
from openenv.settings import DEFAULT_MAX_MESSAGE_SIZE_MB, MIB

if TYPE_CHECKING:
    from openenv.client.socket import Socket

MAX_SIZE_HEADER = "x-openenv-max-message-size"
_NORMAL_CLOSE = 1000
TOO_LARGE_CLOSE = 1009
"""Close code for a message over the size limit."""


@dataclass(frozen=True)
class LinkOptions:
    """Budgets and limits of a link, times in seconds, sizes in MiB; and who is told of progress."""

    connect_timeout_s: float = 10.0
    message_timeout_s: float = 60.0
    max_message_size_mb: float = DEFAULT_MAX_MESSAGE_SIZE_MB
    ping_interval_s: float | None = 20.0
    ping_timeout_s: float | None = 20.0
    headers: Mapping[str, str] = field(default_factory=dict)
    on_progress: OnProgress | None = None


class Link(Protocol):
    """One session's way to its server. All methods are called on one event loop."""

    format: Format
    """How the data of requests is to be encoded, once it is connected."""

    @property
    def late_replies(self) -> int:
        """Replies that came after their caller had given up."""

    @property
    def connected(self) -> bool:
        """Whether requests can be sent."""

    @property
    def tool_changes(self) -> int:
        """How often the server has said that the tools are others now."""
        return 0

    async def connect(self) -> None:
        """Open the connection and with it the session.

        Raises:
            ConnectionFailedError: Nobody answers at the address.
            BudgetExceededError: Nobody answered within the connect budget.
        """

    def request(
        self,
        verb: str,
        data: bytes | None = None,
        timeout_s: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> Awaitable[Incoming]:
        """Send a request; awaiting it gives the reply frame.

        Args:
            verb: `reset`, `step`, `state`, or `mcp`, whose data is a JSON-RPC request.
            data: Its data, encoded.
            timeout_s: Seconds that a step may take: on the server, or, over version 1, until its answer is here.
            on_progress: Told how far it is; never over version 1 and plain HTTP.

        Raises:
            SessionLost: The connection is gone, and the session with it; every later request raises it too.
            BudgetExceededError: No reply within the message budget; the session goes on.
            MessageTooLargeError: The request is over the limit; nothing was sent.
        """

    async def cancel(self) -> bool:
        """Stop the request under way on the server; return whether there was one, and a way to stop it."""
        return False

    async def close(self) -> None:
        """End the session and the connection."""


async def open_socket(
    url: str,
    options: LinkOptions,
    limit: int,
    received: Callable[[bytes], None],
    lost: Callable[[int | None, str], None],
) -> Socket:
    """Return a connected socket; raises like `Link.connect`.

    Args:
        url: Its address.
        options: Budgets and headers.
        limit: Bytes a message may have.
        received: Called with each message.
        lost: Called once with the close code, if there was one, and the reason.
    """
    from openenv.client.socket import Socket, SocketError

    budget = options.connect_timeout_s
    try:
        async with asyncio.timeout(budget):
            return await Socket.open(
                url,
                received=received,
                lost=lost,
                headers=options.headers,
                max_size=limit,
                budget_s=budget,
                ping_interval_s=options.ping_interval_s,
                ping_timeout_s=options.ping_timeout_s,
                proxy=proxy_of(url),
            )
    except TimeoutError as error:
        raise slow_to_connect(url, budget) from error
    except (OSError, SocketError) as error:
        raise unreachable(url, error) from error


def slow_to_connect(url: str, seconds: float) -> BudgetExceededError:
    """Return the error for a server that does not answer within the connect budget."""
    return BudgetExceededError(
        f"{url} did not answer within the connect budget of {seconds:g} s; raise connect_timeout_s if it is slow",
        budget="connect",
        seconds=seconds,
    )


def unreachable(url: str, error: Exception) -> ConnectionFailedError:
    """Return the error for a server that does not answer, or does not serve a WebSocket there."""
    hint = "Is the server running there?"
    if "received 403" in str(error):  # how picows tells of it
        hint = 'If the server is in production mode, it serves only tools: use a client with mode="production"'
    return ConnectionFailedError(f"Failed to connect to {shown(url)}: {error}. {hint}")


def websocket_url(base_url: str) -> str:
    """Return the address of the WebSocket of a server: `http://host/x` gives `ws://host/x/ws`."""
    url = convert_to_ws_url(base_url)
    return url if url.endswith("/ws") else f"{url}/ws"


def mcp_url(base_url: str) -> str:
    """Return the address of the WebSocket for JSON-RPC of a server: `http://host/x` gives `ws://host/x/mcp`."""
    return f"{websocket_url(base_url).removesuffix('/ws')}/mcp"


def convert_to_ws_url(url: str) -> str:
    """Return an address with the scheme of WebSockets: `https://host/` gives `wss://host`, `host` `ws://host`."""
    return websocket_address(url)


class WebSocketLink:
    """A version 1 WebSocket."""

    format = JSON
    tool_changes = 0  # it is never told

    def __init__(self, url: str, options: LinkOptions) -> None:
        self.url = url
        self.late_replies = 0
        self.socket: Socket | None = None
        self._options = options
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._limit = int(options.max_message_size_mb * MIB)
        self._answered = False  # with anything but an error
        self._refused: RequestError | None = None
        self._unasked: bytes | None = None
        self._end: tuple[int | None, str] | None = None

    @property
    def connected(self) -> bool:
        """Whether requests can be sent."""
        return self.socket is not None

    async def connect(self) -> None:
        """See `Link.connect`."""
        socket = await open_socket(self.url, self._options, self._limit, self._received, self._lost)
        self._take(socket)

    def adopt(
        self, socket: Socket, early: Sequence[bytes] = (), ended: tuple[int | None, str] | None = None
    ) -> None:
        """Use a socket that is open already, with the messages that have come, and its end if it has."""
        socket.rebind(self._received, self._lost)
        for raw in early:
            self._received(raw)
        if ended is not None:
            self._lost(*ended)
        self._take(socket)

    def _take(self, socket: Socket) -> None:
        if self._end is None:  # else the server has refused it already, and the first request says why
            self.socket = socket
        theirs = socket.response_header(MAX_SIZE_HEADER)
        if theirs.isdigit():
            self._limit = min(self._limit, int(theirs))

    async def request(
        self,
        verb: str,
        data: bytes | None = None,
        timeout_s: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> Incoming:
        """See `Link.request`."""
        if self.socket is None:
            raise self._loss()
        kind = verb.encode()
        raw = b'{"type":"%s"}' % kind if data is None else b'{"type":"%s","data":%s}' % (kind, data)
        if len(raw) > self._limit:
            raise MessageTooLargeError(
                f"The {verb} request has {len(raw):,} bytes and the limit is {self._limit:,}; "
                "send less, or raise max_message_size_mb on both sides"
            )
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[bytes] = loop.create_future()
        self._waiting.append(reply)
        seconds = self._options.message_timeout_s
        own = min(timeout_s or seconds, seconds)
        budget = loop.call_later(own, self._expire, reply, verb, own, own < seconds)
        try:
            self.socket.send(raw)
            return Incoming(None, verb, await reply)
        finally:
            budget.cancel()

    def _received(self, raw: bytes) -> None:
        if not self._waiting:
            self.late_replies += 1
            self._unasked = raw  # if the connection ends now, this is why
            return
        if not self._answered:
            refused = _error_in(raw)
            self._answered, self._refused = refused is None, refused
        reply = self._waiting.popleft()
        if reply.done():
            self.late_replies += 1
        else:
            reply.set_result(raw)

    @staticmethod
    def _expire(reply: asyncio.Future[bytes], verb: str, seconds: float, own: bool) -> None:
        if not reply.done():
            reply.set_exception(late(verb, seconds, own=own))

    def _lost(self, code: int | None, reason: str) -> None:
        self.socket = None
        self._end = code, reason
        self._fail_waiting(MessageTooLargeError if code == TOO_LARGE_CLOSE else None)

    def _fail_waiting(self, kind: type[RequestError] | None = None) -> None:
        waiting, self._waiting = self._waiting, deque()
        for reply in waiting:
            if not reply.done():
                error = self._loss()
                reply.set_exception(error if kind is None else kind(error.message))

    def _loss(self) -> RequestError:
        """Return why there is no connection, by what the server said last or else by how it closed."""
        if self._end is None:
            return SessionLost("The client was closed, and its session with it; reset() opens a new one")
        code, reason = self._end
        told = _error_in(self._unasked)
        if told is None and code == _NORMAL_CLOSE:
            told = self._refused  # and whoever asked again before the server had closed is told the same
        if told is not None and not self._answered:
            return RequestError.from_wire(told.to_wire())  # there never was a session
        why = f"close code {code} {reason}".rstrip() if code is not None else "no close frame"
        if code == TOO_LARGE_CLOSE:
            why = "a message was over the size limit; raise max_message_size_mb on both sides"
        elif told is not None:
            why = told.message
        return SessionLost(
            f"The connection to {self.url} was lost ({why}), and with it the session and its episode; "
            "reset() starts a new one"
        )

    async def cancel(self) -> bool:
        """See `Link.cancel`: version 1 has no way to."""
        return False

    async def close(self) -> None:
        """See `Link.close`."""
        socket, self.socket = self.socket, None
        if socket is not None:
            self._fail_waiting()
            socket.send(b'{"type":"close"}')
            await socket.close()


def _error_in(frame: bytes | None) -> RequestError | None:
    try:
        if frame is not None:
            reply_data(frame)
    except InvalidReplyError:
        return None
    except RequestError as error:
        return error
    return None


def proxy_of(url: str) -> str | None:
    """Return the proxy that the usual environment variables name for a WebSocket, none for this host itself."""
    if is_unix(url):
        return None
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in ("localhost", "::1") or host.startswith("127.") or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get("https" if parts.scheme == "wss" else "http")
