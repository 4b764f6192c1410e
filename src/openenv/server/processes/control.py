"""What the parent and its server processes say to one another: short messages, most of them with a socket."""

from __future__ import annotations

import os
import socket
import struct
from enum import Enum
from typing import NamedTuple

_MESSAGE = struct.Struct("=cQQ")


class Kind(Enum):
    """What a message says."""

    READY = b"r"
    """To the parent: connections can come."""
    CALL = b"k"
    """To the parent: connect me to process `b`; `a` is the number of this request."""
    CLIENT = b"c"
    """From the parent, with a socket: a client's connection."""
    PEER = b"p"
    """From the parent, with a socket: another process wants to talk."""
    ANSWER = b"a"
    """From the parent, with a socket: what request `a` asked for."""
    GONE = b"x"
    """From the parent: there is no such process as request `a` asked for."""


class Message(NamedTuple):
    """One message.

    Attributes:
        kind: What it says.
        a: See `Kind`.
        b: See `Kind`.
        descriptor: The socket that came with it.
    """

    kind: Kind
    a: int
    b: int
    descriptor: int | None


def send(
    control: socket.socket, kind: Kind, a: int = 0, b: int = 0, *, handing: socket.socket | None = None
) -> None:
    """Send a message; a socket handed on is still to be closed here.

    Raises:
        BlockingIOError: The other side has not read for long.
        OSError: It is gone.
    """
    descriptors = [handing.fileno()] if handing is not None else []
    socket.send_fds(control, [_MESSAGE.pack(kind.value, a, b)], descriptors)


def receive(control: socket.socket) -> Message | None:
    """Return the next message; None when the other side is gone.

    Raises:
        BlockingIOError: There is none now.
    """
    try:
        raw, descriptors, _, _ = socket.recv_fds(control, _MESSAGE.size, 1)
    except ConnectionError:
        return None
    if len(raw) < _MESSAGE.size:  # never a part of one: each was written in one go
        for descriptor in descriptors:
            os.close(descriptor)
        return None
    kind, a, b = _MESSAGE.unpack(raw)
    return Message(Kind(kind), a, b, descriptors[0] if descriptors else None)
