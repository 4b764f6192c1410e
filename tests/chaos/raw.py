"""A WebSocket of a few lines: it sends any bytes at all, and reads when it is told to and not before."""

import base64
import json
import os
import socket
import struct
from typing import Any, Self
from urllib.parse import urlsplit

from tests.chaos.processes import PATIENCE_S
from websockets.frames import Opcode, apply_mask

from openenv.protocol.formats import JSON, Format, unpack


class Closed(Exception):
    """The server has ended the connection.

    Attributes:
        code: Its close code; None if it only hung up.
    """

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class Raw:
    """One connection to a server's `/ws`, over which version 2 is spoken, unless something else is asked for.

    Args:
        url: The server's address.
        format_: The encoding; None for version 1.
        receive_buffer: Bytes that the system may take in before they are read.
    """

    def __init__(self, url: str, format_: Format | None = JSON, receive_buffer: int | None = None) -> None:
        parts = urlsplit(url)
        self.format = format_
        self._binary = format_ is not None and format_.binary
        self._number = 0
        self._got = b""
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect((parts.hostname, parts.port))
        self.socket.sendall(upgrade(format_.subprotocol if format_ is not None else ""))
        while b"\r\n\r\n" not in self._got:
            self._more()
        head, _, self._got = self._got.partition(b"\r\n\r\n")
        assert b" 101 " in head, head

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: Any) -> None:
        self.socket.close()

    def fileno(self) -> int:
        return self.socket.fileno()

    def hello(self) -> Self:
        """Say hello and take the welcome."""
        assert self.ask("hello", version=2)["type"] == "welcome"
        return self

    def put(self, payload: bytes, opcode: Opcode | None = None, *, fin: bool = True, mask: bool = True) -> None:
        """Send a frame as it is, also one that the protocol does not allow."""
        kind = opcode if opcode is not None else Opcode.BINARY if self._binary else Opcode.TEXT
        self.socket.sendall(_frame(kind, payload, fin, mask))

    def encode(self, type_: str, **fields: Any) -> tuple[int, bytes]:
        """Return the number and the bytes of a request."""
        assert self.format is not None
        self._number += 1
        return self._number, self.format.encode({"id": self._number, "type": type_, **fields})

    def send(self, type_: str, **fields: Any) -> int:
        """Send a request; return its number."""
        number, raw = self.encode(type_, **fields)
        self.put(raw)
        return number

    def ask(self, type_: str, **fields: Any) -> dict[str, Any]:
        """Send a request and return the next message that has its number."""
        number = self.send(type_, **fields)
        while (answer := self.receive()).get("id") != number:
            pass
        return answer

    def receive(self) -> dict[str, Any]:
        """Return the next message.

        Raises:
            Closed: There will be none.
        """
        message = b""
        while True:
            opcode, fin, payload = self._frame()
            if opcode is Opcode.CLOSE:
                raise Closed(struct.unpack("!H", payload[:2])[0] if payload else None)
            if opcode is Opcode.PING:
                self.put(payload, Opcode.PONG)
            elif opcode is not Opcode.PONG:
                message += payload
                if fin:
                    return dict(unpack(message) if self._binary else json.loads(message))

    def ended(self) -> int | None:
        """Wait until the server has ended the connection; return the close code."""
        try:
            while True:
                self.receive()
        except Closed as closed:
            return closed.code

    def _frame(self) -> tuple[Opcode, bool, bytes]:
        head = self._take(2)
        size = head[1] & 0x7F
        if size > 125:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        return Opcode(head[0] & 0x0F), bool(head[0] & 0x80), self._take(size)

    def _take(self, size: int) -> bytes:
        while len(self._got) < size:
            self._more()
        taken, self._got = self._got[:size], self._got[size:]
        return taken

    def _more(self) -> None:
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            raise Closed(None)
        self._got += data


def _frame(kind: Opcode, payload: bytes, fin: bool, mask: bool) -> bytes:
    size = len(payload)
    short = size if size < 126 else 126 if size < 2**16 else 127
    head = bytes((kind | 0x80 * fin, short | 0x80 * mask))
    length = b"" if short < 126 else size.to_bytes(2 if short == 126 else 8, "big")
    key = os.urandom(4)
    return head + length + (key + apply_mask(payload, key) if mask else payload)


def upgrade(subprotocol: str = "") -> bytes:
    """Return the HTTP request that asks for a WebSocket."""
    lines = [
        "GET /ws HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        *([f"Sec-WebSocket-Protocol: {subprotocol}"] if subprotocol else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode()
