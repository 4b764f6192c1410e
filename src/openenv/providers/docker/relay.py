"""The way to a container that has no network, from the side of the program that started it.

A folder that only this user can enter has another one in it, `in`, which is mounted read-only in the container.
There is one socket, the meeting point. As soon as the container's first process has connected to it, the relay
removes socket and folder. The outer one goes with the relay, so nothing stays behind even if the program is killed.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import tempfile
from pathlib import Path

from openenv import settings
from openenv.containment.removal import remove
from openenv.errors import PortTakenError, ProviderStartError
from openenv.protocol.listening import BACKLOG
from openenv.providers.supervised import SupervisedProcess

__all__ = ["MOUNTED_AT", "SOCKET_INSIDE", "Relay"]

LOOPBACK = "127.0.0.1"
MOUNTED_AT = "/run/openenv"
SOCKET_INSIDE = f"{MOUNTED_AT}/meet"


class Relay:
    """Listens for clients and joins each with a connection of the container's server.

    Args:
        port: Port on the loopback; None for a free one.
        uds: Listen on a Unix domain socket instead.

    Attributes:
        url: Where clients connect.
        folder: What is to be mounted read-only at `MOUNTED_AT`.

    Raises:
        PortTakenError: Something listens on the port.
        ProviderStartError: No socket or process could be made.
    """

    def __init__(self, *, port: int | None = None, uds: bool = False) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="openenv-"))
        self.folder = self._home / "in"
        self._process: SupervisedProcess | None = None
        try:
            self.folder.mkdir()
            with self._listener(port, uds) as listener, self._meeting() as meeting:
                address = listener.getsockname()
                self._process = SupervisedProcess(
                    _command(listener.fileno(), meeting.fileno()),
                    env=settings.inherited_environment(),
                    pass_fds=(listener.fileno(), meeting.fileno()),
                    folders=[str(self._home)],
                )
        except BaseException:
            self.stop()
            raise
        self.url = f"unix://{address}" if uds else f"http://{LOOPBACK}:{address[1]}"

    def exit_code(self) -> int | None:
        """Return None while it runs."""
        return self._process.exit_code() if self._process else None

    def stop(self) -> None:
        """End it, and everything it holds; may be called again."""
        if self._process is not None:
            self._process.stop(0)
        remove(str(self._home))

    def _listener(self, port: int | None, uds: bool) -> socket.socket:
        if uds:
            listener = _bound(str(self._home / "env.sock"), socket.SOCK_STREAM)
        else:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                if port:
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((LOOPBACK, port or 0))
            except OSError as error:
                listener.close()
                raise PortTakenError(
                    f"Port {port} of {LOOPBACK} cannot be had: {error}. Choose another, or none to get a free one."
                ) from error
        listener.listen(BACKLOG)
        return listener

    def _meeting(self) -> socket.socket:
        path = self.folder / "meet"
        meeting = _bound(str(path), socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as undo:
            undo.callback(meeting.close)
            # Whatever user the container has; on this side only its owner can get into the folder above.
            self.folder.chmod(0o755)
            path.chmod(0o666)
            meeting.listen(1)
            undo.pop_all()
        return meeting


def _bound(path: str, kind: int) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, kind)
    try:
        made.bind(path)
    except OSError as error:  # the path of a socket has at most about a hundred characters
        made.close()
        raise ProviderStartError(
            f"No socket can be made at {path}: {error}. Set TMPDIR to a shorter path."
        ) from error
    return made


def _command(*descriptors: int) -> list[str]:
    script = Path(__file__).with_name("_relay.py")
    return [sys.executable or "python3", "-I", "-S", str(script), *map(str, descriptors)]
