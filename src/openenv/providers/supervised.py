"""A child process that can be ended for certain: with everything it started, and whenever this program ends.

The child is started by a watchdog (`_watchdog.py`), and every signal goes through it. That settles the hard
cases in one place: the program is killed, the child ignores SIGTERM, its own children left the process group.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

from openenv.errors import ConfigurationError, ProviderError, ProviderStartError
from openenv.providers.log_tail import LogTail
from openenv.providers.redaction import redact

__all__ = ["SupervisedProcess"]

# A new interpreter takes 20 ms; this much only on a machine that is drowning.
SPAWN_BUDGET_S = 30.0
# From SIGKILL to the end. Longer means that the kernel itself holds a process, on a dead disk for example.
KILL_BUDGET_S = 10.0
# What the watchdog wrote is in the pipe when it has ended; this is for the thread to read it.
LOG_BUDGET_S = 1.0
LINES_IN_ERROR = 20


class SupervisedProcess:
    """One running command, its descendants, and the tail of what they write. POSIX only.

    The command is the leader of a session of its own, so Ctrl+C in a terminal does not reach it. Dropping the
    last reference kills it.

    Args:
        command: The command line; the first item is looked up on the PATH.
        env: All environment variables of the child.
        cwd: Its working folder; None for the current one.
        pass_fds: Descriptors it inherits under the same numbers. The caller keeps and closes its own.
        log_lines: How many lines of stdout and stderr together are remembered.
        groups: Folders of control groups that the command begins in; removed when it is gone.
        folders: Folders that were made for it; removed when it is gone.
        deaf: Whether it starts with SIGTERM ignored, as a command that only wraps another one should.
        stdin: A descriptor to be its standard input; None for nothing to read. The caller keeps and closes its own.
        stdout: Likewise its standard output, of which nothing is then remembered. It is at its end only when the
            command and all it started are gone.
        stderr: Likewise its standard error.

    Attributes:
        pid: The process id of the command.
        log: What it writes.

    Raises:
        ConfigurationError: The working folder is not there, or the system is not POSIX.
        ProviderStartError: No process could be made. That the command itself cannot be run shows up as its
            end with exit code 127 and the reason in the log.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str | os.PathLike[str] | None = None,
        pass_fds: Sequence[int] = (),
        log_lines: int = 500,
        groups: Sequence[str] = (),
        folders: Sequence[str] = (),
        deaf: bool = False,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> None:
        if os.name != "posix":
            raise ConfigurationError("Starting a server process needs Linux or macOS; on Windows use WSL.")
        if cwd is not None and not Path(cwd).is_dir():
            raise ConfigurationError(f"The working folder {os.fspath(cwd)!r} does not exist; correct cwd.")
        settings = [",".join(map(str, pass_fds)), "\n".join(groups), "\n".join(folders), "deaf" * deaf]
        self._control, theirs = socket.socketpair()
        with theirs:
            try:
                self._watchdog = subprocess.Popen(
                    _watchdog_command(theirs.fileno(), settings, command),
                    stdin=subprocess.DEVNULL if stdin is None else stdin,
                    stdout=subprocess.PIPE if stdout is None else stdout,
                    stderr=stderr
                    if stderr is not None
                    else subprocess.STDOUT
                    if stdout is None
                    else subprocess.PIPE,
                    bufsize=0,
                    env=dict(env),
                    cwd=cwd,
                    pass_fds=(theirs.fileno(), *pass_fds),
                    start_new_session=True,
                )
            except OSError as error:
                self._control.close()
                raise ProviderStartError(f"No process could be started: {error}") from error
        self.log = LogTail(self._watchdog.stdout or self._watchdog.stderr or (), lines=log_lines)
        self._finalizer = weakref.finalize(self, _abandon, self._watchdog, self._control, os.getpid())
        # At exit providers are stopped in good order, and what is forgotten is noticed by the watchdog.
        self._finalizer.atexit = False
        self.pid = self._read_pid(env)

    def _read_pid(self, env: Mapping[str, str]) -> int:
        self._control.settimeout(SPAWN_BUDGET_S)
        received = b""
        try:
            while not received.endswith(b"\n") and (part := self._control.recv(32)):
                received += part
        except TimeoutError:
            pass
        if not received.endswith(b"\n"):
            self.kill()
            raise ProviderStartError(
                "No process could be started.", log_tail=redact(self.log.tail(LINES_IN_ERROR), env)
            )
        return int(received)

    def exit_code(self) -> int | None:
        """Return None while it runs, else its exit code; 128 and the signal's number if a signal ended it.

        When a code is returned, all it started is gone and its last words are in the log.
        """
        code = self._watchdog.poll()
        if code is None:
            return None
        self.log.finish(LOG_BUDGET_S)
        return code if code >= 0 else 128 - code

    def wait(self) -> int:
        """Return its exit code as soon as it and all it started are gone."""
        self._watchdog.wait()
        code = self.exit_code()
        assert code is not None
        return code

    def stop(self, grace_s: float) -> None:
        """Ask it to end (SIGTERM to its process group) and kill what is left after `grace_s` seconds.

        May be called at any time, again too.

        Raises:
            ProviderError: It lives on after SIGKILL; calling again tries again.
        """
        self._order(b"T")
        if not self._ended(grace_s):
            self.kill()
        self._finalizer.detach()
        self._control.close()

    def kill(self) -> None:
        """Kill it and all it started, and wait for their end.

        Raises:
            ProviderError: It lives on after SIGKILL.
        """
        self._order(b"K")
        if not self._ended(KILL_BUDGET_S):
            raise ProviderError(
                f"The children of process {self._watchdog.pid} are still there {KILL_BUDGET_S:g} s after "
                "SIGKILL; the system holds them (their state is in 'ps'). Call stop() again later."
            )

    def _order(self, letter: bytes) -> None:
        try:
            self._control.send(letter)
        except OSError:  # closed, or nobody at the other end: it has ended
            pass

    def _ended(self, timeout_s: float) -> bool:
        """Wait for the watchdog's end: it closes its side of the control, and nothing else holds that."""
        end = time.monotonic() + timeout_s
        try:
            self._control.settimeout(max(timeout_s, 0.001))
            while self._control.recv(64):
                self._control.settimeout(max(end - time.monotonic(), 0.001))
        except TimeoutError:
            if self._watchdog.poll() is None:
                return False
        except OSError:
            pass
        self._watchdog.wait()
        self.log.finish(LOG_BUDGET_S)
        return True


def _watchdog_command(control: int, settings: Sequence[str], command: Sequence[str]) -> list[str]:
    script = Path(__file__).with_name("_watchdog.py")
    # -I and -S: nothing of the surroundings is imported, and it is up in half the time.
    interpreter = [sys.executable or "python3", "-I", "-S", str(script)]
    return [*interpreter, str(control), str(os.getpid()), *settings, *command]


def _abandon(watchdog: subprocess.Popen[bytes], control: socket.socket, owner: int) -> None:
    """Kill without waiting for a good end; for a process that nobody refers to any more."""
    if os.getpid() != owner:  # a fork holds copies of both, but the process is its parent's
        return
    with control, contextlib.suppress(OSError):  # it has ended by itself
        control.send(b"K")
    with contextlib.suppress(subprocess.TimeoutExpired):
        watchdog.wait(timeout=1.0)
