"""A Unix domain socket to connect by."""

from __future__ import annotations

import socket


class UnixSocket(socket.socket):
    """A Unix domain socket that takes no offence at options of TCP, which WebSocket libraries set unasked."""

    def __init__(self) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)

    def setsockopt(self, level: int, *arguments: object) -> None:
        """Set an option, unless it is one of TCP."""
        if level != socket.IPPROTO_TCP:
            super().setsockopt(level, *arguments)  # type: ignore[call-overload]

    def getsockopt(self, level: int, *arguments: object) -> int:  # type: ignore[override]
        """Return an option; one of TCP is off."""
        return 0 if level == socket.IPPROTO_TCP else super().getsockopt(level, *arguments)  # type: ignore[call-overload]
