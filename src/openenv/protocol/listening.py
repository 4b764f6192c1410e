"""Where a server listens: on a port, or on a Unix domain socket."""

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


def listening_on(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket; of the addresses that a name has, the first of IPv4 is preferred.

    Raises:
        OSError: The port is taken, the host is unknown (`socket.gaierror`), or it is not allowed.
    """
    listener = bound_to(host, port)
    listener.listen(BACKLOG)
    return listener


def bound_to(host: str, port: int) -> socket.socket:
    """Return a TCP socket that is bound and does not listen yet; the same as for `listening_on`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if port and os.name == "posix":  # else the port of a server that has just ended could not be taken
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address[:2])
    except BaseException:
        listener.close()
        raise
    return listener


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
