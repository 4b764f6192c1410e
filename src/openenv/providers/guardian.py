"""The program's end of the guardian: a process that reaps what engines keep, should this program be killed.

There is one for each program, started with the first provider whose servers outlive it: a process that sleeps.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from openenv.errors import ProviderStartError

__all__ = ["Guardian"]

GOODBYE_S = 2.0
"""Seconds the program waits at its end for a guardian that has nothing left to do."""


class Guardian:
    """Knows what a program has running in engines.

    Args:
        command: What reaps, without the names; `openenv gc` by default.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = list(command or [sys.executable or "python3", "-m", "openenv", "gc", "--quiet"])
        self._lock = threading.Lock()
        self._watched: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._pid = 0

    def watch(self, name: str, key: Sequence[str]) -> None:
        """Have a thing reaped if the program ends before `forget` is called for it.

        Args:
            name: Its name, as in its ownership labels.
            key: Arguments of the command that say which engine has it.

        Raises:
            ProviderStartError: The guardian could not be started.
        """
        with self._lock:
            self._start()
            self._watched[name] = f"+ {name} {json.dumps(list(key))}\n"
            self._send(self._watched[name])

    def forget(self, name: str) -> None:
        """Take a thing off the list that is gone."""
        with self._lock:
            if name in self._watched and self._pid == os.getpid():
                del self._watched[name]
                self._send(f"- {name}\n")

    def leave(self) -> None:
        """Let it end: at once if nothing is left, else it reaps what is."""
        with self._lock:
            if self._pid != os.getpid() or self._control is None or self._process is None:
                return
            self._control.close()
            self._control, self._pid = None, 0
            try:
                self._process.wait(0 if self._watched else GOODBYE_S)
            except subprocess.TimeoutExpired:  # it is at work, and goes on without us
                self._process.returncode = 0
            self._watched.clear()

    def _start(self) -> None:
        """Start it, if this process has none: a fork needs its own, for it ends at another time."""
        if self._pid != os.getpid():
            self._watched = {}
        elif self._process is not None and self._process.poll() is None:
            return
        if self._control is not None:
            self._control.close()
        try:
            self._process, self._control = self._spawned()
        except OSError as error:
            raise ProviderStartError(
                f"The guardian, which reaps servers should this program be killed, could not be started: {error}. "
                "This machine has no process, memory or descriptor to spare."
            ) from error
        self._pid = os.getpid()
        for line in self._watched.values():  # somebody has killed the one before
            self._send(line)

    def _spawned(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, theirs = socket.socketpair()
        script = Path(__file__).with_name("_guardian.py")
        interpreter = [sys.executable or "python3", "-I", "-S", str(script)]
        with theirs, contextlib.ExitStack() as undoing:
            undoing.enter_context(ours)
            process = subprocess.Popen(
                [*interpreter, str(theirs.fileno()), str(os.getpid()), *self._command],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl+C is meant for the program
            )
            undoing.pop_all()
        return process, ours

    def _send(self, line: str) -> None:
        assert self._control is not None
        try:
            self._control.sendall(line.encode())
        except OSError:  # somebody has killed it; the engine's own limit is left
            pass
