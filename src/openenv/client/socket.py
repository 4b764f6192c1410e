"""The client's WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import picows
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from openenv import settings
from openenv.protocol.address import place
from openenv.protocol.lingering import Lingering
from openenv.protocol.sockets import MessageListener
from openenv.protocol.unix import UnixSocket

NORMAL = 1000
CLOSE_WAIT_S = 2.0
"""Seconds to wait for the other side's half of a closing handshake."""

_Connected = tuple[WSTransport, WSListener]

SocketError = picows.WSError
"""What `Socket.open` raises when the other side does not speak WebSocket, or refuses."""


class Socket(MessageListener):
    """One open WebSocket. Get one by `open`."""

    def __init__(
        self, received: Callable[[bytes], None], lost: Callable[[int | None, str], None], max_size: int
    ) -> None:
        super().__init__(max_size)
        self._on_message = received
        self._on_lost = lost
        self._gone = asyncio.Event()
        self._settling: asyncio.Task[None] | None = None
        self._lingering = Lingering() if settings.lingers() else None

    @staticmethod
    async def open(
        url: str,
        *,
        received: Callable[[bytes], None],
        lost: Callable[[int | None, str], None],
        headers: Mapping[str, str],
        max_size: int,
        budget_s: float,
        ping_interval_s: float | None,
        ping_timeout_s: float | None,
        proxy: str | None,
    ) -> Socket:
        """Connect.

        Args:
            url: `ws://`, `wss://` or `ws+unix://` address.
            received: Called with each message.
            lost: Called once with the close code (None without a close frame) and reason.
            headers: HTTP headers of the handshake.
            max_size: Bytes the largest message may have.
            budget_s: Seconds the caller waits. The handshake is given up a little sooner, because giving it up
                closes the connection at once.
            ping_interval_s: Seconds of silence after which a ping is sent; None for no pings.
            ping_timeout_s: Seconds a ping may stay unanswered; None for ever.
            proxy: Address of an HTTP or SOCKS proxy.

        Raises:
            OSError: Nobody listens there.
            SocketError: The handshake failed.
            TimeoutError: The handshake was not answered in time.
        """
        address, file = place(url)
        connecting = picows.ws_connect(
            lambda: Socket(received, lost, max_size),
            address,
            socket_factory=None if file is None else lambda _: _connected(file),
            websocket_handshake_timeout=max(budget_s - 0.05, budget_s / 2),
            enable_auto_ping=ping_interval_s is not None and ping_timeout_s is not None,
            auto_ping_idle_timeout=ping_interval_s or 0.0,
            auto_ping_reply_timeout=ping_timeout_s or 0.0,
            max_frame_size=max_size,
            extra_headers=dict(headers),
            proxy=proxy,
        )
        _, socket = await _to_its_end(connecting)
        if not isinstance(socket, Socket):  # picows does not tell in another way
            raise ConnectionResetError("the connection was lost during the handshake")
        return socket

    def rebind(self, received: Callable[[bytes], None], lost: Callable[[int | None, str], None]) -> None:
        """Give the socket to another owner."""
        self._on_message = received
        self._on_lost = lost

    def send(self, raw: bytes, *, binary: bool = False) -> None:
        """Send a message. Does nothing on a socket that has ended; `lost` tells."""
        self.transport.send(WSMsgType.BINARY if binary else WSMsgType.TEXT, raw)
        if self._lingering is not None:
            self._lingering.expect()

    def abort(self) -> None:
        """Give the connection up; `lost` follows."""
        self.transport.disconnect(False)

    @property
    def gone(self) -> bool:
        """Whether the connection is over."""
        return self._gone.is_set()

    def response_header(self, name: str) -> str:
        """Return a header of the handshake's response, or an empty text."""
        response = self.transport.response
        return str(response.headers.get(name, "")) if response is not None else ""

    async def close(self) -> None:
        """Close normally; wait a little for the other side to agree."""
        self._on_lost = _ignore
        self.transport.send_close(WSCloseCode.OK)
        try:
            async with asyncio.timeout(CLOSE_WAIT_S):
                await self._gone.wait()
        except TimeoutError:
            pass
        finally:
            if not self._gone.is_set():  # not even if whoever closes it is cancelled may it stay open
                self.transport.disconnect(False)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Hand a message on; what is not one whole message goes the longer way."""
        if self._lingering is not None:
            self._lingering.came()
        if frame.msg_type is WSMsgType.TEXT and frame.fin and frame.payload_size <= self._max_size:
            self._on_message(frame.get_payload_as_bytes())
        else:
            super().on_ws_frame(transport, frame)

    def message(self, raw: bytes, binary: bool) -> None:
        """Hand it on."""
        self._on_message(raw)

    def ended(self, code: int | None, reason: str) -> None:
        """Hand it on."""
        self._gone.set()
        if code == NORMAL:
            self._on_lost(code, reason)
        else:
            self._settling = asyncio.get_running_loop().create_task(self._settle(code, reason))

    async def _settle(self, code: int | None, reason: str) -> None:
        """Hand it on with what picows knows: it keeps an exception for whoever waits, a message too large too."""
        try:
            await self.transport.wait_disconnected()
        except picows.WSProtocolError as error:
            code = code or int(error.args[0])
        except Exception as error:
            reason = reason or str(error)
        self._on_lost(code, reason)


async def _connected(file: str) -> UnixSocket:
    """Return a connection to a Unix domain socket."""
    socket = UnixSocket()
    try:
        socket.setblocking(False)
        await asyncio.get_running_loop().sock_connect(socket, file)
    except BaseException:
        socket.close()
        raise
    return socket


_abandoned: set[asyncio.Task[Any]] = set()
"""Handshakes whose caller has been cancelled; a loop alone would not keep them."""


async def _to_its_end(handshake: Coroutine[Any, Any, _Connected]) -> _Connected:
    """Wait for a handshake. If the caller is cancelled it goes on, for picows would leave its connection open."""
    task = asyncio.get_running_loop().create_task(handshake)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.cancelled():
            _abandoned.add(task)
            task.add_done_callback(_drop)
            await asyncio.wait((task,), timeout=CLOSE_WAIT_S)
        raise


def _drop(handshake: asyncio.Task[_Connected]) -> None:
    """Close the connection of a handshake that nobody waits for any more."""
    _abandoned.discard(handshake)
    if not handshake.cancelled() and handshake.exception() is None:
        transport, _ = handshake.result()
        transport.disconnect(False)


def _ignore(_code: int | None, _reason: str) -> None:
    """Do nothing: the loss was asked for."""
