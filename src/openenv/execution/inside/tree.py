"""The processes below this one: who they are, and how all of them are ended.

This process adopts what its descendants leave behind (`adopt`), so nothing gets away by starting a session of its
own or by having its parent end.
"""

from __future__ import annotations

import ctypes
import os
import signal
from typing import NamedTuple

__all__ = ["Process", "adopt", "below", "end_all", "kill", "processes"]

_PR_SET_CHILD_SUBREAPER = 36


class Process(NamedTuple):
    """A process as `/proc` has it.

    Attributes:
        pid: Its id.
        parent: That of its parent.
        session: That of its session.
        dead: Whether it has ended and waits for its parent to see.
    """

    pid: int
    parent: int
    session: int
    dead: bool


def adopt() -> None:
    """Become the parent of whatever a descendant leaves behind."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def processes() -> list[Process]:
    """Return all processes that can be seen."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    # The second field is a name in parentheses, which may hold anything, parentheses too.
                    state, parent, _, session, *_ = file.read().rpartition(b")")[2].split()
            except (OSError, ValueError):  # gone meanwhile
                continue
            found.append(Process(int(name), int(parent), int(session), state in b"ZX"))
    return found


def below(top: int, found: list[Process]) -> list[Process]:
    """Return the descendants of a process among these that live, without itself."""
    children: dict[int, list[Process]] = {}
    for process in found:
        children.setdefault(process.parent, []).append(process)
    reached: list[Process] = []
    waiting = [top]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            reached.append(child)
            waiting.append(child.pid)
    return [process for process in reached if not process.dead]


def kill(pid: int) -> None:
    """Kill a process, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass


def end_all() -> None:
    """Kill every descendant and wait for the last of them.

    To kill a process makes its children ours, so going on until there are none reaches all of them.
    """
    while True:
        for process in below(os.getpid(), processes()):
            kill(process.pid)
        try:
            os.waitpid(-1, 0)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
