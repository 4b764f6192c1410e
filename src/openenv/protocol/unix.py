"""Unix domain sockets: one to connect by, and how to listen on one."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator

from openenv.errors import ConfigurationError

BACKLOG = 2048
"""Connections that may wait to be accepted."""


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


@contextlib.contextmanager
def listening_at(path: str) -> Iterator[socket.socket]:
    """Listen on a Unix domain socket that only this user may connect to; its file is gone afterwards.

    Raises:
        ConfigurationError: Something listens there, the path is another kind of file, or it can not be made.
    """
    listener = socket.socket(socket.AF_UNIX)
    with listener:
        try:
            _remove_left_over(path)
            before = os.umask(0o177)
            try:
                listener.bind(path)
            finally:
                os.umask(before)
            listener.listen(BACKLOG)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be listened on: {error.strerror or error}") from error
        made = os.stat(path)
        try:
            yield listener
        finally:
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(path), made):  # else somebody else has taken the name meanwhile
                    os.unlink(path)


def _remove_left_over(path: str) -> None:
    """Remove the socket file of a server that was killed.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise ConfigurationError(f"{path} is a file, not a socket: choose another path")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except OSError as error:
            if error.errno != errno.ECONNREFUSED:
                raise
            os.unlink(path)
            return
    raise ConfigurationError(f"A server listens at {path} already: stop it, or choose another path")
