"""The processes below this one: who they are, and how all of them are ended.

This process adopts what its descendants leave behind (`adopt`), so nothing gets away by starting a session of its
own or by having its parent end.

In a sandbox `/proc` need not be readable. Then this process enters a domain of Landlock (`stand_apart`), out of
which no signal gets: whoever can be signalled is below, though nobody tells whose child it is.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import select
import signal
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from openenv.containment import landlock

__all__ = [
    "Process",
    "adopt",
    "below",
    "can_list",
    "end_all",
    "keep_to_oneself",
    "kill",
    "newest",
    "processes",
    "stand_apart",
]

_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_DUMPABLE = 4

_apart = False


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


def keep_to_oneself() -> None:
    """Have no process of the same user look into the memory of this one, or trace it."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def can_list() -> bool:
    """Return whether the processes of this machine, or of this namespace, can be listed."""
    try:
        os.listdir("/proc")
    except OSError:
        return False
    return True


def stand_apart() -> None:
    """Have signals of this process, and of all that it starts, reach nobody else, if processes cannot be listed.

    Raises:
        OSError: Landlock is too old for that.
    """
    global _apart
    if not can_list():
        landlock.restrict(scoped=True)
        try:
            os.kill(os.getppid(), 0)
        except PermissionError:
            _apart = True
            return
        raise OSError("the process above can still be signalled, so what is below cannot be told from others")


def newest() -> int:
    """Return the id of the newest process."""
    with open("/proc/loadavg", "rb") as file:
        return int(file.read().split()[-1])


def processes() -> list[Process]:
    """Return all processes that can be seen; where none can, those below, each as a child of this one."""
    if _apart:
        return [process for pid in _later() if (process := _probed(pid))]
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
        if _apart:
            with suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
        for process in () if _apart else below(os.getpid(), processes()):
            kill(process.pid)
        try:
            os.waitpid(-1, 0)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return


def _later() -> Iterable[int]:
    """Return the ids that processes below may have: those that were given out after ours."""
    ours, last = os.getpid(), newest()
    if last >= ours:
        return range(ours + 1, last + 1)
    with open("/proc/sys/kernel/pid_max", "rb") as file:
        return itertools.chain(range(ours + 1, int(file.read())), range(2, last + 1))


def _probed(pid: int) -> Process | None:
    """Return a process if it is below; one that has ended only if it waits for us."""
    try:
        os.kill(pid, 0)
        process = Process(pid, os.getpid(), os.getsid(pid), _is_dead(pid))
        if process.dead:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except OSError:
        return None
    return process


def _is_dead(pid: int) -> bool:
    descriptor = os.pidfd_open(pid)
    try:
        return bool(select.select([descriptor], [], [], 0)[0])
    finally:
        os.close(descriptor)
