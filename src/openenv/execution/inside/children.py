"""What a keeper knows of a process it has started, and does to it."""

from __future__ import annotations

import os
import signal
import termios
import time

from openenv.execution.inside.child import Started
from openenv.execution.inside.frames import Reader
from openenv.execution.inside.output import Captured

__all__ = ["Call", "Child", "forget_peak", "interrupt", "peak", "plain_lines", "type_into"]

LONGEST_ANSWER = 1 << 20


class Call:
    """Something that was asked for and is not answered yet."""

    def __init__(self, number: int, timeout_s: float | None, output_bytes: int, streams: bool) -> None:
        self.number = number
        self.started = time.monotonic()
        self.deadline = self.started + timeout_s if timeout_s is not None else None
        self.outputs = (Captured(output_bytes), Captured(output_bytes))
        self.streams = streams
        self.timed_out = False
        self.killed_for = ""


class Child:
    """A process that was started, and the call that it is busy with."""

    def __init__(self, name: str, started: Started, stays: bool) -> None:
        self.name = name
        self.started = started
        self.stays = stays  # from call to call, as interpreters and shells do
        self.call: Call | None = None
        self.reader = Reader(LONGEST_ANSWER)
        self.said = b""
        self.unsent = bytearray()
        self.interrupted = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.started.pid


def interrupt(started: Started, *, group: bool) -> None:
    """Interrupt what runs: a terminal's foreground program, or the process, and its group if that is wanted."""
    pid = started.pid
    if started.terminal is not None:
        try:
            pid = os.tcgetpgrp(started.terminal)
        except OSError:
            pass
        try:
            os.killpg(pid, signal.SIGINT)
        except OSError:
            pass
        return
    try:
        (os.killpg if group else os.kill)(pid, signal.SIGINT)
    except OSError:
        pass


def forget_peak(pid: int) -> None:
    """Have `peak` count from now on, where that can be had."""
    try:
        with open(f"/proc/{pid}/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def peak(pid: int) -> int:
    """Return the most memory a process has had, in bytes; 0 if it cannot be told."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 0


def plain_lines(terminal: int) -> None:
    """Have a terminal end lines as programs wrote them, without a carriage return."""
    settings = termios.tcgetattr(terminal)
    settings[1] &= ~termios.ONLCR
    termios.tcsetattr(terminal, termios.TCSANOW, settings)


def type_into(terminal: int, data: bytes) -> int:
    """Write to a terminal, and return how many bytes it took."""
    try:
        return os.write(terminal, data)
    except BlockingIOError:
        return 0
