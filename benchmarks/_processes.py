"""Child processes that are spoken to by lines and end with this one.

Each child leads a session of its own, so Ctrl-C reaches only this process, which then stops them one by one by
process id. Each also holds a pipe from this process as its standard input and ends when that closes, so nothing is
left over even if this process is killed.
"""

from __future__ import annotations

import http.client
import os
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks._figures import BenchmarkError

HOST = "127.0.0.1"
STOP_S = 4.0
"""Seconds that a child gets to end by itself, and again after a SIGTERM."""


def environ(python_path: str | None = None) -> dict[str, str]:
    """Return the environment for a child: this one's without proxies, and with another PYTHONPATH if given."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    if python_path is not None:
        kept["PYTHONPATH"] = python_path
    return kept


def free_port() -> int:
    """Return a loopback port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class Child:
    """One child process, started when entered and gone when left.

    Args:
        name: What to call it in errors.
        command: Program and arguments.
        environment: Its environment variables.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self._command = list(command)
        self._environment = dict(environment)
        self._unread = b""

    def __enter__(self) -> Self:
        self._errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=self._environment,
            start_new_session=True,
            bufsize=0,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.close()  # each of our programs ends by itself then, and says goodbye
            if not self._ended_within(STOP_S):
                process.terminate()
                self._ended_within(STOP_S)
        finally:
            process.kill()  # does nothing to one that has ended
            process.wait()
            process.stdout.close()
            self._errors.close()

    def _ended_within(self, seconds: float) -> bool:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            raise self.failed("ended") from None

    def hear(self, timeout_s: float) -> str:
        """Return the next line of its standard output.

        Raises:
            BenchmarkError: It ended, or wrote no line in time.
        """
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._unread:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise self.failed(f"said nothing within {timeout_s:g} s")
            if not (chunk := os.read(descriptor, 65536)):
                raise self.failed("ended")
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def cpu_seconds(self) -> float | None:
        """Return the CPU time it has used so far, its threads included; None where there is no `/proc`."""
        try:
            after_name = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")

    def private_bytes(self) -> int | None:
        """Return the memory that is its own and nobody else's; None where there is no `/proc`."""
        try:
            lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            return None
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024

    def failed(self, what: str) -> BenchmarkError:
        """Return the error for something it did wrong, with the last lines it wrote."""
        self._errors.seek(0)
        tail = "\n".join(self._errors.read().decode(errors="replace").splitlines()[-15:])
        return BenchmarkError(f"{self.name} {what}" + (f"; it wrote:\n{tail}" if tail else ""))


class Server(Child):
    """A child that serves HTTP on a free loopback port; the port is appended to its command."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.port = free_port()
        super().__init__(name, [*command, str(self.port)], environment)

    def wait_until_healthy(self, timeout_s: float = 30.0) -> None:
        """Wait until `/health` answers 200.

        Raises:
            BenchmarkError: It ended, or did not answer in time.
        """
        deadline = time.monotonic() + timeout_s
        while not self._healthy():
            if self.process.poll() is not None:
                raise self.failed(f"ended with status {self.process.returncode} before it was ready")
            if time.monotonic() > deadline:
                raise self.failed(f"was not ready within {timeout_s:g} s")
            time.sleep(0.02)

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=2)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def resident_megabytes(self) -> float:
        """Return its resident memory in MB (10^6 bytes)."""
        listed = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(self.process.pid)], capture_output=True, text=True, check=True
        )
        return int(listed.stdout) * 1024 / 1e6
