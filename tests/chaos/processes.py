"""Server processes, and what the operating system knows of processes: their children, threads and open files."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.chaos.books import FOLDER

PATIENCE_S = 60.0
"""Seconds after which something that has to happen counts as never happening."""

IDLE_S = 0.5
"""Seconds for which a server of this suite keeps a thread that has no work."""

_PORTS = range(20_000, 30_000)
"""Below those that the system gives to outgoing connections, so that a server finds its own again."""

_STACK_TRACES = ("Traceback", "never retrieved", "Exception in callback", "was destroyed but it is pending")


def wait_until(condition: Callable[[], Any], within_s: float = PATIENCE_S, pause_s: float = 0.02) -> bool:
    """Return whether something comes true."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause_s)
    return True


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that live."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def threads(pid: int) -> int:
    """Return how many threads a process has."""
    return len(os.listdir(f"/proc/{pid}/task"))


def descriptors(pid: int) -> int:
    """Return how many files a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def marked(folder: Path) -> set[int]:
    """Return all processes that live and were started for a folder of books, by whomever."""
    mark = f"{FOLDER}={folder}".encode()
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.add(int(entry.name))
    return found - {os.getpid()}


def memory(pid: int) -> int:
    """Return the bytes of memory that a process has in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Server:
    """One server in a process of its own, which can be killed and started again.

    Args:
        folder: Where its books and its log are.
        environment: Name of the class.
        sessions: How many there may be.
        fast: On our own carrier; else on the plain ASGI route.
        budgets: In seconds.

    Attributes:
        port: Where it listens, also after it was started again.
        pid: Of the process.
    """

    def __init__(
        self, folder: Path, environment: str, *, sessions: int = 1000, fast: bool = True, **budgets: float
    ) -> None:
        self.folder = folder
        self.environment = environment
        self.lease_s = budgets.get("lease", 60.0)
        self.port = _free_port()
        self._log = folder / f"{environment}-{self.port}.log"
        self._options = {
            "environment": environment,
            "port": self.port,
            "sessions": sessions,
            "fast": fast,
            "budgets": budgets,
        }
        self._rest: Counter[str] = Counter()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the process and wait until it serves."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.server", json.dumps(self._options)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, FOLDER: str(self.folder)},
            )
        self.pid = self._process.pid
        if not wait_until(self._serves):
            raise TimeoutError(f"the server did not start: {self._log.read_text()[-2000:]}")

    def kill(self) -> None:
        """Kill the process as the kernel does when memory runs out."""
        self._process.kill()
        self._process.wait()
        self._hang_up()

    def stop(self) -> None:
        """End the process in good order."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._hang_up()

    def get(self, path: str) -> Any:
        """Return what a GET answers."""
        request = urllib.request.Request(self.url + path, headers={"Connection": "close"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=PATIENCE_S) as got:
            return json.load(got)

    def workers(self) -> list[int]:
        """Return the processes of its sessions."""
        return [worker for forks in children(self.pid) for worker in children(forks)]

    def settle(self) -> None:
        """Wait until the process has nothing to do, and remember what it holds then."""

        def at_rest() -> bool:
            before, self._rest = self._rest, self._holds()
            time.sleep(IDLE_S)  # in which a thread without work would end
            return before == self._rest and not self._rest["leaked sessions"] + self._rest["leaked processes"]

        if not wait_until(at_rest):
            raise TimeoutError(f"the server does not come to rest: {self._rest}")

    def left_over(self) -> Counter[str]:
        """Wait until the process holds no more than at rest; return what it still holds after a while."""
        wait_until(lambda: not self._holds() - self._rest, self.lease_s + PATIENCE_S, 0.5)
        return self._holds() - self._rest

    def complaints(self) -> str:
        """Return the log, if there is anything in it that a server must not say."""
        log = self._log.read_text(errors="replace")
        return log[-3000:] if any(trace in log for trace in _STACK_TRACES) else ""

    def _hang_up(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _holds(self) -> Counter[str]:
        capacity = self.get("/capacity")
        time.sleep(0.05)  # for the server to end the connection of this question
        return Counter(
            {
                "leaked sessions": capacity["active_sessions"] + capacity["waiting"],
                "leaked processes": len(self.workers()),
                "leaked threads": threads(self.pid),
                "leaked descriptors": descriptors(self.pid),
            }
        )

    def _serves(self) -> bool:
        if self._process.poll() is not None:
            raise ChildProcessError(f"the server ended: {self._log.read_text()[-2000:]}")
        with contextlib.suppress(OSError):
            return bool(self.get("/health"))
        return False


def _free_port() -> int:
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
