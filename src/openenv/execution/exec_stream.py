"""The stream of a program that an engine runs in a container: its standard input one way, framed outputs the other.

Each frame begins with the number of the output (1 or 2), three zeros, and its length in four bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import struct
from collections.abc import Iterator
from typing import Any

from openenv.errors import ConfigurationError
from openenv.execution.inside.frames import Frame, Reader
from openenv.execution.link import Link

__all__ = ["Demultiplexed", "answer", "plain_socket"]

_logger = logging.getLogger(__name__)

_HEADER = struct.Struct("!BxxxI")
_STDOUT = 1
READ_BYTES = 1 << 16


class Frames:
    """Takes a stream apart."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take bytes, and return what is complete with them: the number of the output, and what was written."""
        waiting = self._waiting
        waiting += data
        while len(waiting) >= _HEADER.size:
            number, length = _HEADER.unpack_from(waiting)
            end = _HEADER.size + length
            if len(waiting) < end:
                return
            part = bytes(waiting[_HEADER.size : end])
            del waiting[:end]
            yield number, part


class Demultiplexed(asyncio.Protocol):
    """Hands a keeper's standard output to a link, and logs what it writes to the other one."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._frames = Frames()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand on the transport: what is written to it is the keeper's input as it is."""
        self._link.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Hand on what came."""
        for number, part in self._frames.feed(data):
            if number == _STDOUT:
                self._link.data_received(part)
            else:
                _logger.warning("a keeper in a container says: %s", part.decode("utf-8", "replace").rstrip())

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand on the end."""
        self._link.connection_lost(exc)


def answer(line: socket.socket) -> Frame | str:
    """Return the first message that a keeper sends, or what it wrote to its other output if it ends without one."""
    frames, reader, said = Frames(), Reader(), b""
    while data := line.recv(READ_BYTES):
        for number, part in frames.feed(data):
            if number != _STDOUT:
                said += part
                continue
            with contextlib.suppress(ValueError):  # an engine says on this output what it could not run
                for frame in reader.feed(part):
                    return frame
            said += part
    return said.decode("utf-8", "replace").strip()


def plain_socket(stream: Any) -> socket.socket:
    """Return a socket of our own for a stream as Docker's SDK returns it, and close the SDK's.

    Raises:
        ConfigurationError: The engine is reached by TLS or SSH, which an event loop cannot take over.
    """
    found = getattr(stream, "_sock", stream)
    if not isinstance(found, socket.socket) or isinstance(found, ssl.SSLSocket):
        raise ConfigurationError(
            "DockerExec reaches engines by a Unix socket or plain TCP. For one further away forward its socket, "
            "such as by `ssh -L /tmp/docker.sock:/var/run/docker.sock host`, and give base_url."
        )
    own = socket.socket(fileno=os.dup(found.fileno()))
    response = getattr(stream, "_response", None)
    (response or stream).close()
    return own
