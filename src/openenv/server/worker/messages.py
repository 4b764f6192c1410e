"""What server, fork server and workers say to one another: MessagePack in frames with a length before them."""

from __future__ import annotations

import socket
import struct
from typing import Any

import msgspec

from openenv.protocol.formats import MSGPACK, unpack

FORK, ADOPT = b"f", b"a"
"""What the fork server is asked: to fork a worker, whose lines come along; to take one in, whose pid follows."""

_LENGTH = struct.Struct("!I")


def packed(message: dict[str, Any]) -> bytes:
    """Return a frame."""
    body = MSGPACK.encode(message)
    return _LENGTH.pack(len(body)) + body


def packed_raw(message: dict[str, Any]) -> bytes:
    """Return a frame of values that are known to be plain; bytes travel as they are."""
    body = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Take bytes and return the messages that are whole now."""
        self._buffer += data
        found = []
        while len(self._buffer) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._buffer)
            end = _LENGTH.size + size
            if len(self._buffer) < end:
                break
            found.append(unpack(bytes(self._buffer[_LENGTH.size : end])))
            del self._buffer[:end]
        return found


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """Read one message from a blocking socket; None at its end."""
    head = _exactly(connection, _LENGTH.size)
    if head is None:
        return None
    body = _exactly(connection, _LENGTH.unpack(head)[0])
    message: dict[str, Any] | None = None if body is None else unpack(body)
    return message


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)
