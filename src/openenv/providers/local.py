"""What providers share whose server is a child process of this program.

The listening socket is bound here and handed to the child, so no other program can take the port in between,
and a client that comes early waits in the socket's queue.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from openenv import settings
from openenv.containment.removal import remove
from openenv.errors import ConfigurationError, PortTakenError, ProviderStartError
from openenv.protocol.listening import BACKLOG, bound_to
from openenv.providers.base import Provider
from openenv.providers.source import Source
from openenv.providers.supervised import SupervisedProcess

__all__ = ["LocalProvider"]

LOOPBACK = "127.0.0.1"


class LocalProvider(Provider):
    """Runs `openenv serve` in a process group of its own, which is gone when the provider or this process is.

    A subclass says in which way the process is made (`spawn`), and may say what is served (`target`).

    Args:
        target: The path of an environment's folder, the name of an installed environment package,
            `module:app`, or None to serve the environment that the client class belongs to.
        env_vars: Environment variables of the server.
        cwd: The server's working folder.
        python: The interpreter that has `openenv` and the environment installed.
        ready_timeout_s: Seconds until the server must be healthy.
        stop_grace_s: Seconds between SIGTERM and SIGKILL.
        max_concurrent_envs: Sessions the server may hold at once, as `MAX_CONCURRENT_ENVS`; None leaves it to
            the environment.
        log_lines: How many lines of the server's output are kept.
        serve_args: More arguments for `openenv serve`.
        uds: Serve on a Unix domain socket in a folder that only this user can enter, instead of a port.

    Attributes:
        address: Host and port to listen on, of this machine; port 0 for a free one.

    Raises:
        ConfigurationError: The target has none of these forms.
    """

    ends_with_its_last_reference = True
    address: tuple[str, int] = (LOOPBACK, 0)

    def __init__(
        self,
        target: str | os.PathLike[str] | None = None,
        *,
        env_vars: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        python: str = sys.executable,
        ready_timeout_s: float = 30.0,
        stop_grace_s: float = 5.0,
        max_concurrent_envs: int | None = None,
        log_lines: int = 500,
        serve_args: Sequence[str] = (),
        uds: bool = False,
    ) -> None:
        self.target = None if target is None else _checked(os.fspath(target))
        self.env_vars = dict(env_vars or {})
        self.cwd = cwd
        self.python = python
        self.ready_timeout_s = ready_timeout_s
        self.stop_grace_s = stop_grace_s
        self.max_concurrent_envs = max_concurrent_envs
        self.log_lines = log_lines
        self.serve_args = tuple(serve_args)
        self.uds = uds
        self._folders: list[str] = []
        self._source = Source()
        self._process: SupervisedProcess | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the server, which is also its process group; None before the first start."""
        return self._process.pid if self._process else None

    def command(self, fd: int) -> list[str]:
        """Return the command line of a server that accepts connections on an inherited listening socket.

        Args:
            fd: The socket's descriptor in the child.

        Raises:
            ConfigurationError: Nothing says what to serve.
        """
        return [self.python, "-m", "openenv", "serve", self.what(), "--fd", str(fd), *self.serve_args]

    def spawn(self, command: list[str], fd: int) -> SupervisedProcess:
        """Start the server's process.

        Args:
            command: As `command` has made it.
            fd: The listening socket, to be inherited under the same number.
        """
        return SupervisedProcess(
            command,
            env=self.environment(),
            cwd=self.cwd,
            pass_fds=(fd,),
            log_lines=self.log_lines,
            folders=self._folders,
        )

    def environment(self) -> dict[str, str]:
        """Return all environment variables of the server."""
        return {**settings.inherited_environment(), **self.own_variables()}

    def launch(self, source: Source, *_: Any, **options: Any) -> list[str]:
        """Start the server; the port is bound when this returns."""
        self._source = source
        with self._listener() as listener:
            listener.listen(BACKLOG)
            bound = listener.getsockname()
            self._process = self.spawn(self.command(listener.fileno()), listener.fileno())
        return [_url(bound)]

    def _listener(self) -> socket.socket:
        """Return a bound socket."""
        if not self.uds:
            return _bound(*self.address)
        folder = self.make_folder()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(Path(folder) / "env.sock"))
        except OSError as error:  # the path of a socket has at most about a hundred characters
            listener.close()
            raise ProviderStartError(
                f"No socket can be made in {folder}: {error}. Set TMPDIR to a shorter path."
            ) from error
        return listener

    def make_folder(self) -> str:
        """Return a new folder that only this user can enter; it is removed when the server is gone."""
        self._folders.append(tempfile.mkdtemp(prefix="openenv-"))
        return self._folders[-1]

    def shutdown(self) -> None:
        """End the server's whole process group: SIGTERM, `stop_grace_s` seconds, SIGKILL."""
        try:
            if self._process is not None:
                self._process.stop(self.stop_grace_s)
        finally:
            # The watchdog has removed them, unless there never was one, or it was killed.
            while self._folders:
                remove(self._folders.pop())

    def exit_code(self) -> int | None:
        """Return None while the server runs or before its first start, else its exit code."""
        return self._process.exit_code() if self._process else None

    def check_alive(self) -> None:
        """Raise ProviderStartError if the server process has ended."""
        code = self.exit_code()
        if code is not None:
            raise self.failure(ProviderStartError, f"The server process ended {_described(code)}.")

    def read_log(self, lines: int) -> str:
        """Return the last lines of the server's stdout and stderr."""
        return self._process.log.tail(lines) if self._process else ""

    def what(self) -> str:
        """Return what to serve, as `openenv serve` takes it."""
        if self.target is not None:
            return self.target
        # The folder works for a checkout as well; another interpreter has a copy of its own, found by name.
        same = self.python == sys.executable
        found = (self._source.folder if same else None) or self._source.app
        if found is None:
            raise ConfigurationError(
                f"{self._name} does not know what to serve: give it a target such as "
                f"{self._name}('echo_env.server.app:app') or the environment's folder, or start it by "
                "with_provider() of a client class whose package has a server."
            )
        return found

    def own_variables(self) -> dict[str, str]:
        """Return the environment variables that are the server's and not those of this process."""
        own = {"PYTHONUNBUFFERED": "1"}
        if self.max_concurrent_envs is not None:
            own["MAX_CONCURRENT_ENVS"] = str(self.max_concurrent_envs)
        return {**own, **self.env_vars}


def _checked(target: str) -> str:
    """Return a folder as an absolute path, for the server may have another working folder."""
    if target and Path(target).is_dir():
        return str(Path(target).resolve())
    module, colon, attribute = target.partition(":")
    if target.isidentifier() or (colon and module and attribute and os.sep not in module):
        return target
    raise ConfigurationError(
        f"{target!r} cannot be served: it is no folder here, no package name such as 'echo_env', and not of "
        "the form module:app, such as 'echo_env.server.app:app'."
    )


def _bound(host: str, port: int) -> socket.socket:
    try:
        return bound_to(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(
                f"Port {port} of {host} is taken; choose another, or none for a free one."
            ) from error
        raise ProviderStartError(f"{host}:{port} cannot be listened on: {error.strerror or error}.") from error


def _url(bound: Any) -> str:
    if isinstance(bound, str):
        return f"unix://{bound}"
    host = LOOPBACK if bound[0] in ("0.0.0.0", "::") else bound[0]  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{bound[1]}" if ":" in host else f"http://{host}:{bound[1]}"


def _described(code: int) -> str:
    try:
        return f"by {signal.Signals(code - 128).name}"
    except ValueError:
        return f"with exit code {code}"
