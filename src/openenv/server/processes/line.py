"""A line between two processes of a server: a socket pair that carries frames, each with a kind and a length."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import cast

_HEAD = struct.Struct("!cI")

BEGIN, FRAME, CLOSE, REQUEST, RESPONSE = b"b", b"f", b"c", b"q", b"r"
"""Kinds: a connection of the protocol begins, one of its frames, its end with a close code; HTTP."""


class Line(asyncio.Protocol):
    """One end.

    Args:
        received: Called with the kind and content of each frame.
        lost: Called once when the line is gone, also if it was closed here.
        room: Bytes that may wait to be read by the other side.
    """

    def __init__(self, received: Callable[[bytes, bytes], None], lost: Callable[[], None], room: int) -> None:
        self._received = received
        self._lost = lost
        self._room = room
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._full = False
        self._over = False

    def send(self, kind: bytes, content: bytes) -> bool:
        """Send a frame, or keep it until the line is there.

        Returns:
            False if the other side does not read, and nothing more is taken.
        """
        if self._full:
            return False
        if self._over:
            return True  # `lost` tells
        head = _HEAD.pack(kind, len(content))
        if self._transport is None:
            self._early += (head, content)
        else:
            self._transport.write(head + content)  # not `writelines`: Python 3.12.1 never pauses its writer
        return True

    def close(self) -> None:
        """Give the line up after what was sent."""
        self._over = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Give the line up at once."""
        self._over = True
        if self._transport is not None:
            self._transport.abort()

    # --- called by the transport -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send what was kept, unless the line was given up meanwhile.

        What a connection has said that is lost by now must not be heard any more: its client may have resumed over
        another, and a late resume would take the session away from there.
        """
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=self._room)
        early, self._early = self._early, []
        if self._over:
            self._transport.abort()
        elif early:
            self._transport.write(b"".join(early))

    def data_received(self, data: bytes) -> None:
        """Take frames."""
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= _HEAD.size and not self._over:
            kind, size = _HEAD.unpack_from(self._buffer, start)
            end = start + _HEAD.size + size
            if len(self._buffer) < end:
                break
            content = bytes(self._buffer[start + _HEAD.size : end])
            start = end
            self._received(kind, content)
        del self._buffer[:start]

    def connection_lost(self, error: Exception | None) -> None:
        """Tell it."""
        self._over = True
        self._lost()

    def pause_writing(self) -> None:
        """The other side does not read."""
        self._full = True

    def resume_writing(self) -> None:
        """It does again."""
        self._full = False
