"""A client WebSocket on picows: whole text messages in and out, one callback when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import picows
from picows import WSFrame, WSListener, WSMsgType, WSTransport

CLOSE_WAIT_S = 2.0
"""Seconds to wait for the other side's half of a closing handshake."""

_FRAME_OVERHEAD = 1024

SocketError = picows.WSError
"""What `Socket.open` raises when the other side does not speak WebSocket, or refuses."""


class Socket(WSListener):  # type: ignore[misc]
    """One open WebSocket. Get one by `open`."""

    def __init__(
        self, received: Callable[[bytes], None], lost: Callable[[int | None, str], None], max_size: int
    ) -> None:
        self._on_message = received
        self._on_lost = lost
        self._max_size = max_size
        self._transport: WSTransport
        self._parts: list[bytes] = []
        self._close_code: int | None = None
        self._close_reason = ""
        self._gone: asyncio.Event = asyncio.Event()

    @staticmethod
    async def open(
        url: str,
        *,
        received: Callable[[bytes], None],
        lost: Callable[[int | None, str], None],
        headers: Mapping[str, str],
        max_size: int,
        ping_interval_s: float | None,
        ping_timeout_s: float | None,
        proxy: str | None,
    ) -> Socket:
        """Connect.

        Args:
            url: `ws://` or `wss://` address.
            received: Called with each text message.
            lost: Called once with the close code (None without a close frame) and reason.
            headers: HTTP headers of the handshake.
            max_size: Bytes the largest message may have.
            ping_interval_s: Seconds of silence after which a ping is sent; None for no pings.
            ping_timeout_s: Seconds a ping may stay unanswered; None for ever.
            proxy: Address of an HTTP or SOCKS proxy.

        Raises:
            OSError: Nobody listens there.
            SocketError: The handshake failed.
        """
        _, socket = await picows.ws_connect(
            lambda: Socket(received, lost, max_size),
            url,
            websocket_handshake_timeout=None,  # the caller has a budget for all of it
            enable_auto_ping=ping_interval_s is not None and ping_timeout_s is not None,
            auto_ping_idle_timeout=ping_interval_s or 0.0,
            auto_ping_reply_timeout=ping_timeout_s or 0.0,
            max_frame_size=max_size + _FRAME_OVERHEAD,
            extra_headers=dict(headers),
            proxy=proxy,
        )
        assert isinstance(socket, Socket)
        return socket

    def send(self, raw: bytes) -> None:
        """Send a text message. Does nothing on a socket that has ended; `lost` tells."""
        self._transport.send(WSMsgType.TEXT, raw)

    def response_header(self, name: str) -> str:
        """Return a header of the handshake's response, or an empty text."""
        response = self._transport.response
        return str(response.headers.get(name, "")) if response is not None else ""

    async def close(self) -> None:
        """Close normally; wait a little for the other side to agree."""
        self._on_lost = _ignore
        self._transport.send_close(1000)
        try:
            async with asyncio.timeout(CLOSE_WAIT_S):
                await self._gone.wait()
        except TimeoutError:
            self._transport.disconnect(False)

    # --- called by picows ------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Remember the transport."""
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Hand on a message once it is whole."""
        kind = frame.msg_type
        if kind == WSMsgType.TEXT and frame.fin:
            self._on_message(frame.get_payload_as_bytes())
        elif kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._parts.append(frame.get_payload_as_bytes())
            if sum(map(len, self._parts)) > self._max_size:
                self._close_code = 1009
                transport.disconnect(False)
            elif frame.fin:
                message, self._parts = b"".join(self._parts), []
                self._on_message(message)
        elif kind == WSMsgType.CLOSE:
            code = frame.get_close_code()
            self._close_code = int(code) if code is not None else None
            self._close_reason = frame.get_close_reason() or ""
            transport.send_close(code)
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Tell that it is over."""
        self._gone.set()
        self._on_lost(self._close_code, self._close_reason)


def _ignore(_code: int | None, _reason: str) -> None:
    """Do nothing: the loss was asked for."""
