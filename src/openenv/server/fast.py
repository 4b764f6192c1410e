"""`/ws` without ASGI: uvicorn hands the socket of an upgrade request over, and picows takes it.

uvicorn makes an instance of its WebSocket class for each upgrade request and gives it the transport. This class
looks at the request. If it is for our own `/ws`, and nothing stands between (an application with middleware of
its own wants to see every request), it lets picows' protocol have the transport; else uvicorn's usual
implementation. The sessions, the frames and the errors are the same either way, only the carrier differs.

picows' server protocol has no public constructor. If it ever looks different, `available` says no and every
socket takes the usual way.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from importlib.metadata import version
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastapi import FastAPI
from picows import (
    WSAutoPingStrategy,
    WSCloseCode,
    WSFrame,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)
from picows import picows as picows_core
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from openenv import settings
from openenv.protocol.lingering import Lingering
from openenv.protocol.sockets import MessageListener
from openenv.server.config import ServerContext
from openenv.server.connection import wrong_frame
from openenv.server.routes.websocket import MAX_SIZE_HEADER, PATH

_WSProtocol: Any = getattr(picows_core, "WSProtocol", None)

PING_IDLE_S, PING_REPLY_S = 20.0, 20.0

COPIED = 8192
"""Bytes up to which picows 2.3 copies a message together with its header. The header of a longer one it leaves in a
buffer that the next message overwrites, be it sent or not; so such a message comes with room for its header."""

_HEADROOM = bytearray(14)
"""The longest header."""


def available() -> bool:
    """Return whether picows' server protocol is what this module was written for."""
    return version("picows").startswith("2.3.") and _WSProtocol is not None


class FastWebSocket(asyncio.Protocol):
    """What uvicorn makes for an upgrade request; see the module.

    Args:
        config: uvicorn's configuration.
        server_state: uvicorn's list of connections, which it closes at shutdown.
        app_state: The application's lifespan state.
    """

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._inner: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Take the upgrade request, and whatever comes before the transport has its new owner."""
        if self._inner is not None:
            self._feed(data)
            return
        context = self._context(data)
        if context is None:
            self._inner = WebSocketsSansIOProtocol(self._config, self._server_state, self._app_state)
        else:
            self._inner = _protocol(lambda request: self._accept(context, request), context.max_message_size)
        self._inner.connection_made(_tolerant(self.transport))
        self._feed(data)
        # uvicorn makes this object the transport's protocol as soon as this returns.
        asyncio.get_running_loop().call_soon(self._hand_over)

    def connection_lost(self, error: Exception | None) -> None:
        """Pass it on, if it comes before the hand-over."""
        if self._inner is not None:
            self._inner.connection_lost(error)

    def _hand_over(self) -> None:
        if not self.transport.is_closing():
            self.transport.set_protocol(self._inner)

    def _feed(self, data: bytes) -> None:
        if isinstance(self._inner, asyncio.BufferedProtocol):
            while data:
                buffer = memoryview(self._inner.get_buffer(len(data)))
                size = min(len(buffer), len(data))
                buffer[:size] = data[:size]
                self._inner.buffer_updated(size)
                data = data[size:]
        else:
            self._inner.data_received(data)

    def _context(self, data: bytes) -> ServerContext | None:
        """Return what to serve if this request may take the fast way."""
        target = data.split(b" ", 2)[1].decode("latin-1")
        if urlsplit(target).path != PATH or self._config.root_path:
            return None
        app = self._config.loaded_app
        while not isinstance(app, FastAPI):  # uvicorn wraps the application in middleware of its own
            app = getattr(app, "app", None)
            if app is None:
                return None
        if app.user_middleware or app.router.dependencies:
            return None
        return getattr(app.state, "openenv_fast", None)

    def _accept(self, context: ServerContext, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        query = parse_qs(urlsplit(request.path.decode("latin-1")).query)
        offered = [name.strip() for name in str(request.headers.get("sec-websocket-protocol", "")).split(",")]
        session_id = query.get("session_id", [None])[0]
        listener = _Listener(context, offered, session_id, self._server_state.connections)
        headers = {MAX_SIZE_HEADER: str(context.max_message_size)}
        if listener.format is not None:
            headers["Sec-WebSocket-Protocol"] = listener.format.subprotocol
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(headers), listener)


def _protocol(factory: Callable[[WSUpgradeRequest], WSUpgradeResponseWithListener], max_size: int) -> Any:
    return _WSProtocol(
        None,  # host and port: a client's
        None,  # path: likewise
        False,  # is_client_side
        factory,
        logging.getLogger("picows.server"),
        True,  # disconnect_on_exception
        10.0,  # websocket_handshake_timeout
        True,  # enable_auto_ping
        PING_IDLE_S,
        PING_REPLY_S,
        WSAutoPingStrategy.PING_WHEN_IDLE,
        True,  # enable_auto_pong
        max_size,
        None,  # extra_headers
        16384,  # read_buffer_init_size
    )


def _tolerant(transport: Any) -> Any:
    """Return a transport on which picows can set its options of TCP, for a Unix domain socket has none."""
    own = transport.get_extra_info("socket")
    return _UnixTransport(transport) if own is not None and own.family == socket.AF_UNIX else transport


class _UnixTransport:
    """A transport that shows its socket as one with options of TCP; all else is the transport's own."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        found = self._transport.get_extra_info(name, default)
        return _UnixSocket(found) if name == "socket" and found is not None else found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _UnixSocket:
    def __init__(self, own: Any) -> None:
        self._own = own

    def setsockopt(self, level: int, *arguments: Any) -> None:
        if level != socket.IPPROTO_TCP:
            self._own.setsockopt(level, *arguments)

    def getsockopt(self, level: int, *arguments: Any) -> Any:
        return 0 if level == socket.IPPROTO_TCP else self._own.getsockopt(level, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


class _Listener(MessageListener):
    """Carries frames between picows and a `Connection`."""

    def __init__(
        self, context: ServerContext, offered: list[str], session_id: str | None, connections: set[Any]
    ) -> None:
        super().__init__(context.max_message_size)
        self._connections = connections
        self._manager = context.manager
        self.format, self._connection = context.connection(offered, self._send, self._close, session_id=session_id)
        self._binary = self.format is not None and self.format.binary
        self._kind = WSMsgType.BINARY if self._binary else WSMsgType.TEXT
        self._received = self._connection.received
        self._lingering = Lingering() if settings.lingers() else None
        self._answers = 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Open the session."""
        super().on_ws_connected(transport)
        self._connections.add(self)
        self._connection.opened()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Answer a message; what is not one whole message of the right kind goes the longer way."""
        lingering, answers = self._lingering, self._answers
        if lingering is not None:
            lingering.came()
        if frame.msg_type is self._kind and frame.fin and frame.payload_size <= self._max_size:
            self._received(frame.get_payload_as_bytes())
        else:
            super().on_ws_frame(transport, frame)
        # What is not answered yet is being worked on by a thread or process, which is to have the processor.
        if lingering is not None and self._answers != answers:
            lingering.expect()

    def message(self, raw: bytes, binary: bool) -> None:
        """Answer it."""
        if binary is not self._binary:
            self._connection.refused(wrong_frame(self._binary))
        else:
            self._connection.received(raw)

    def ended(self, code: int | None, reason: str) -> None:
        """End the session."""
        self._connections.discard(self)
        self._connection.lost()

    def pause_writing(self) -> None:
        """Stop listening to a client that does not read its answers."""
        self.transport.underlying_transport.pause_reading()

    def resume_writing(self) -> None:
        """Listen again."""
        self.transport.underlying_transport.resume_reading()

    def shutdown(self) -> None:
        """Close as the server goes down; called by uvicorn, for each connection."""
        self._manager.stop()
        self._close(1012)

    def _send(self, raw: bytes) -> None:
        self._answers += 1
        if len(raw) <= COPIED:
            self.transport.send(self._kind, raw)
        else:
            self.transport.send_reuse_external_bytearray(self._kind, _HEADROOM + raw, len(_HEADROOM))

    def _close(self, code: int) -> None:
        self.transport.send_close(WSCloseCode(code))
        self.transport.disconnect()
