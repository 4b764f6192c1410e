"""Servers of several processes, started as people start them."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import httpx
from tests.sessions.wire import Wire

from openenv.protocol.formats import JSON, Format

ROOT = Path(__file__).parents[2]

PATIENCE_S = 60.0
"""Seconds for what starts processes."""


class Several:
    """`openenv serve --workers`, ended with SIGTERM.

    Args:
        log: Where its output goes.
        app: What it serves, of `environments`.
        workers: How many processes.
        arguments: More arguments.
    """

    def __init__(self, log: Path, app: str = "app", workers: int = 2, *arguments: str) -> None:
        self.log = log
        self.workers = workers
        self._arguments = [f"tests.processes.environments:{app}", "--workers", str(workers), *arguments]
        if "--uds" not in arguments:
            self._arguments += ["--port", "0"]

    def __enter__(self) -> Self:
        places = [ROOT / "src", ROOT, os.environ.get("PYTHONPATH", "")]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "openenv", "serve", *self._arguments],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places)), "PYTHONUNBUFFERED": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        found = self.wait_for(r"(https?|unix)://\S+")
        self.url = found[0]
        if self.url.startswith("http"):
            self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=PATIENCE_S)
            assert self.http.get("/health").status_code == 200
        return self

    def __exit__(self, *_error: Any) -> None:
        if hasattr(self, "http"):
            self.http.close()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def wait_for(self, pattern: str) -> "re.Match[str]":
        """Wait until it writes something that matches."""
        end = time.monotonic() + PATIENCE_S
        while (found := re.search(pattern, self.log.read_text())) is None:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.01)
        return found

    def fresh(self) -> httpx.Client:
        """Return an HTTP client with connections of its own."""
        return httpx.Client(base_url=self.url, trust_env=False, timeout=PATIENCE_S)

    def pids(self) -> set[int]:
        """Return the process ids of the server processes, and of nothing else."""
        return {child for child in children(self.process.pid) if "processes.child" in command(child)}


def children(parent: int) -> set[int]:
    """Return the process ids of the children of a process."""
    found = set()
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.add(int(entry.name))
    return found


def command(process: int) -> str:
    """Return the command line of a process."""
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    return ""


def lives(process: int) -> bool:
    """Return whether a process is there and not merely waiting to be reaped."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill(process: int) -> None:
    """Kill a process of a server of these tests."""
    os.kill(process, signal.SIGKILL)


class Wires:
    """Version 2 connections to a server of several processes, and which process each is in."""

    def __init__(self, server: Several, stack: ExitStack, format_: Format = JSON) -> None:
        self._server = server
        self._stack = stack
        self.format = format_

    def __call__(self) -> Wire:
        wire = self._stack.enter_context(Wire(self._server.url, self.format))
        wire.ask("hello", version=2)
        return wire

    def one_in_each(self) -> list[Wire]:
        """Return a connection to each of the processes."""
        found: dict[str, Wire] = {}
        for _ in range(50):
            wire = self()
            [session] = wire.open()
            wire.ask("close", session=session.id)
            found.setdefault(process_of(session.id), wire)
            if len(found) == self._server.workers:
                return list(found.values())
        raise AssertionError(f"all connections went to {set(found)}")


def process_of(session_id: str) -> str:
    """Return the process that a session's id names."""
    return session_id.partition("-")[0]
