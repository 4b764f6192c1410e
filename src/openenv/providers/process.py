"""The embedded default: an environment's server as a child process on a free loopback port.

The listening socket is bound here and handed to the child, so no other program can take the port in between,
and a client that comes early waits in the socket's queue. It isolates from crashes, not from malice: the
server runs as the same user with the same environment variables.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from openenv import settings
from openenv.errors import ConfigurationError, ProviderStartError
from openenv.protocol.listening import BACKLOG
from openenv.providers.base import Provider
from openenv.providers.source import Source
from openenv.providers.supervised import SupervisedProcess

__all__ = ["ProcessProvider"]

LOOPBACK = "127.0.0.1"


class ProcessProvider(Provider):
    """Runs `openenv serve` in a process group of its own, which is gone when the provider or this process is.

    ```python
    async with EchoEnv.with_provider(ProcessProvider()) as env:
        await env.reset()
    ```

    Args:
        target: The path of an environment's folder, the name of an installed environment package,
            `module:app`, or None to serve the environment that the client class belongs to.
        env_vars: Environment variables on top of those of this process.
        cwd: The server's working folder; None for the current one.
        python: The interpreter that has `openenv` and the environment installed.
        ready_timeout_s: Seconds until the server must be healthy.
        stop_grace_s: Seconds between SIGTERM and SIGKILL.
        max_concurrent_envs: Sessions the server may hold at once, as `MAX_CONCURRENT_ENVS`; None leaves it to
            the environment.
        log_lines: How many lines of the server's output are kept.
        serve_args: More arguments for `openenv serve`.
        uds: Serve on a Unix domain socket in a folder that only this user can enter, instead of a port.
        host: Address to listen on; any but a loopback address lets in whoever can reach it.

    Raises:
        ConfigurationError: The target has none of these forms.
    """

    kind = "process"
    ends_with_its_last_reference = True

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
        host: str = LOOPBACK,
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
        self.host = host
        self._folder: tempfile.TemporaryDirectory[str] | None = None
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
        return [self.python, "-m", "openenv", "serve", self._what(), "--fd", str(fd), *self.serve_args]

    def launch(self, source: Source) -> list[str]:
        """Start the server; the port is bound when this returns."""
        self._source = source
        with self._listener() as listener:
            listener.listen(BACKLOG)
            address = listener.getsockname()
            self._process = SupervisedProcess(
                self.command(listener.fileno()),
                env=self._environment(),
                cwd=self.cwd,
                pass_fds=(listener.fileno(),),
                log_lines=self.log_lines,
            )
        return [f"unix://{address}" if self.uds else f"http://{self.host}:{address[1]}"]

    def _listener(self) -> socket.socket:
        """Return a bound socket."""
        if not self.uds:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.bind((self.host, 0))
            return listener
        self._folder = tempfile.TemporaryDirectory(prefix="openenv-", ignore_cleanup_errors=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(Path(self._folder.name) / "env.sock"))
        except OSError as error:  # the path of a socket has at most about a hundred characters
            listener.close()
            raise ProviderStartError(
                f"No socket can be made in {self._folder.name}: {error}. Set TMPDIR to a shorter path."
            ) from error
        return listener

    def shutdown(self) -> None:
        """End the server's whole process group: SIGTERM, `stop_grace_s` seconds, SIGKILL."""
        try:
            if self._process is not None:
                self._process.stop(self.stop_grace_s)
        finally:
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None

    def check_alive(self) -> None:
        """Raise ProviderStartError if the server process has ended."""
        code = self._process.exit_code() if self._process else None
        if code is not None:
            raise self.failure(ProviderStartError, f"The server process ended {_described(code)}.")

    def read_log(self, lines: int) -> str:
        """Return the last lines of the server's stdout and stderr."""
        return self._process.log.tail(lines) if self._process else ""

    def _what(self) -> str:
        if self.target is not None:
            return self.target
        # The folder works for a checkout as well; another interpreter has a copy of its own, found by name.
        same = self.python == sys.executable
        found = (self._source.folder if same else None) or self._source.app
        if found is None:
            raise ConfigurationError(
                "ProcessProvider does not know what to serve: give it a target such as "
                "ProcessProvider('echo_env.server.app:app') or the environment's folder, or start it by "
                "with_provider() of a client class whose package has a server."
            )
        return found

    def _environment(self) -> dict[str, str]:
        own: dict[str, Any] = {"PYTHONUNBUFFERED": "1"}
        if self.max_concurrent_envs is not None:
            own["MAX_CONCURRENT_ENVS"] = str(self.max_concurrent_envs)
        return {**settings.inherited_environment(), **own, **self.env_vars}


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


def _described(code: int) -> str:
    try:
        return f"by {signal.Signals(code - 128).name}"
    except ValueError:
        return f"with exit code {code}"
