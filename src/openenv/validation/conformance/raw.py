"""A WebSocket that sends what it is told, right or wrong, and shows what comes back.

It is made of the `websockets` library alone, so that a fault of this project's own client can not hide one of the
server.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
from collections.abc import Sequence
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake, WebSocketException
from websockets.sync.client import ClientConnection, connect

from openenv.client.link import proxy_of
from openenv.protocol.address import place
from openenv.protocol.unix import UnixSocket
from openenv.validation.checks import CheckFailed
from openenv.validation.conformance.expectation import shown

__all__ = ["RawSocket"]

CLOSE_WAIT_S = 1.0
"""Seconds to wait for the server's half of a closing handshake that nobody looks at."""

Message = str | bytes


class RawSocket:
    """One open WebSocket. Close it, or drop it.

    Args:
        url: Its `ws://`, `wss://` or `ws+unix://` address.
        subprotocols: What is offered, most wanted first.
        timeout_s: Seconds that any answer may take.

    Raises:
        CheckFailed: The handshake failed.
    """

    def __init__(self, url: str, subprotocols: Sequence[str], timeout_s: float) -> None:
        self._timeout_s = timeout_s
        address, file = place(url)
        options: dict[str, Any] = {
            "subprotocols": list(subprotocols) or None,
            "compression": None,
            "proxy": proxy_of(url),
            "max_size": None,
            "open_timeout": timeout_s,
            "close_timeout": CLOSE_WAIT_S,
        }
        try:
            if file is None:
                self._opening = connect(address, **options)
            else:
                self._opening = connect(address, unix=True, sock=_connected(file, timeout_s), **options)
            self._socket: ClientConnection = self._opening.__enter__()
        except (InvalidHandshake, TimeoutError, OSError, EOFError) as error:
            raise CheckFailed(f"a WebSocket at {url}", f"{type(error).__name__}: {error}") from error

    @property
    def subprotocol(self) -> str | None:
        """What the server has chosen."""
        return self._socket.subprotocol

    def header(self, name: str) -> str | None:
        """Return a header of the server's half of the handshake."""
        response = self._socket.response
        return response.headers.get(name) if response is not None else None

    # --- out -------------------------------------------------------------------------------------------

    def send(self, message: Message | Sequence[Message]) -> None:
        """Send a message; a list is sent as the fragments of one.

        Does nothing if the server has closed: what it said before, or that it said nothing, is found on receiving.
        """
        with contextlib.suppress(ConnectionClosed):
            self._socket.send(message)

    def send_json(self, frame: Any) -> None:
        """Send a value as JSON text."""
        self.send(json.dumps(frame))

    def announce(self, size: int) -> None:
        """Begin a text message of so many bytes: its header, and as much as fits into a packet."""
        mask = b"\0\0\0\0"  # masking with zeros leaves the bytes as they are
        header = struct.pack("!BBQ", 0x81, 0x80 | 127, size) + mask
        with contextlib.suppress(OSError):
            self._socket.socket.sendall(header + b"x" * 1024)

    def more(self, size: int) -> None:
        """Send so many bytes more of an announced message, until the server wants no more."""
        piece = b"x" * 65536
        with contextlib.suppress(OSError, ssl.SSLError):
            for _ in range(size // len(piece) + 1):
                self._socket.socket.sendall(piece)

    # --- in --------------------------------------------------------------------------------------------

    def receive(self, what: str = "an answer") -> Message:
        """Return the next message.

        Args:
            what: What is waited for.

        Raises:
            CheckFailed: None comes in time, or the connection is over.
        """
        try:
            return self._socket.recv(self._timeout_s)
        except TimeoutError as error:
            raise CheckFailed(what, f"nothing within {self._timeout_s:g} s") from error
        except ConnectionClosed as closed:
            raise CheckFailed(what, _ending(closed)) from closed

    def receive_json(self, what: str = "an answer") -> dict[str, Any]:
        """Return the next message, which must be an object in a text frame.

        Raises:
            CheckFailed: It is not, or none comes.
        """
        message = self.receive(what)
        if isinstance(message, bytes):
            raise CheckFailed(f"{what} in a text frame", f"a binary frame: {shown(message)}")
        try:
            frame = json.loads(message)
        except ValueError as error:
            raise CheckFailed(f"{what} in JSON", shown(message)) from error
        if not isinstance(frame, dict):
            raise CheckFailed(f"{what}, a JSON object", shown(message))
        return frame

    def close_code(self, wait_s: float | None = None) -> int | None:
        """Wait until the server closes without another word, and return its close code; None if there was none.

        Raises:
            CheckFailed: It says something, or does not close in time.
        """
        try:
            message = self._socket.recv(self._timeout_s if wait_s is None else wait_s)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else None
        except TimeoutError as error:
            raise CheckFailed("that the server closes", f"nothing within {self._timeout_s:g} s") from error
        raise CheckFailed("that the server closes", shown(message))

    # --- the end ---------------------------------------------------------------------------------------

    def drop(self) -> None:
        """Cut the connection without a word, as a network does."""
        with contextlib.suppress(OSError):
            self._socket.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it, whatever state it is in."""
        with contextlib.suppress(WebSocketException, OSError):
            self._opening.__exit__(None, None, None)


class _Lenient(UnixSocket):
    """A Unix domain socket on which writing to a server that has closed is no error, as at first over TCP.

    `websockets` answers a close frame by itself, and drops all it has read with that frame if it can not.
    """

    def sendall(self, *arguments: Any) -> None:
        with contextlib.suppress(BrokenPipeError):
            super().sendall(*arguments)


def _connected(file: str, timeout_s: float) -> socket.socket:
    connection = _Lenient()
    try:
        connection.settimeout(timeout_s)
        connection.connect(file)
    except BaseException:
        connection.close()
        raise
    return connection


def _ending(closed: ConnectionClosed) -> str:
    if closed.rcvd is None:
        return "the connection ended without a close frame"
    reason = f" ({closed.rcvd.reason})" if closed.rcvd.reason else ""
    return f"the server closed with {closed.rcvd.code}{reason}"
