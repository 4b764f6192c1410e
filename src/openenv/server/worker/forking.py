"""How a worker forks itself in the middle of an episode.

It forks twice: the process between ends at once, so that the fork becomes a child of the fork server, which has
declared itself the reaper of its descendants. So every worker, however it came to be, has one who waits for it,
tells how it ended and kills what it has left behind. Linux only, as that declaration is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import selectors
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

from openenv.environment import unforkable
from openenv.errors import SnapshotUnsupportedError

_PR_SET_CHILD_SUBREAPER = 36
_PID = struct.Struct("!i")
_THREADS = Path("/proc/self/task")

ENDING_S = 0.05
"""Seconds that a thread which has returned may take to be gone."""

HAS_THREADS = (
    "The environment's process can not be forked, for it has threads beside its own, and a fork would lose them: "
    "{names}. End them before each step returns (for the pools of numerical libraries set OMP_NUM_THREADS=1 and "
    "OPENBLAS_NUM_THREADS=1), or give the environment get_state() and set_state()"
)
HOLDS = (
    "The environment's process can not be forked, for it holds what the fork would share: {held}. Give the "
    "environment get_state() and set_state()"
)
HAS_LOOP = (
    "The environment's process can not be forked: its event loop is of a kind ({name}) that can not be taken "
    "along. Use asyncio's own, or give the environment get_state() and set_state()"
)


def adopt_orphans() -> None:
    """Make this process the parent of whatever its descendants leave behind, where there is such a thing."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def fork_worker(connection: socket.socket, loop: asyncio.AbstractEventLoop | None) -> int:
    """Fork this worker, which has just read that it shall; the ends of the fork's own lines follow on its socket.

    Args:
        connection: The server. In the fork it is the fork's own connection afterwards, under the same number.
        loop: The event loop of the environment, if it has one.

    Returns:
        The pid of the fork; 0 in the fork.

    Raises:
        SnapshotUnsupportedError: It can not be forked as it is.
    """
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 2)
    theirs, output = descriptors
    try:
        _refuse_what_would_be_lost(loop)
        pid = _fork_away()
        if pid == 0:
            _settle(connection, theirs, output, loop)
        return pid
    finally:
        os.close(theirs)
        os.close(output)


def _refuse_what_would_be_lost(loop: asyncio.AbstractEventLoop | None) -> None:
    if held := unforkable.reasons():
        raise SnapshotUnsupportedError(HOLDS.format(held=", ".join(held)))
    end = time.monotonic() + ENDING_S
    while len(tasks := os.listdir(_THREADS)) > 1:
        if threading.active_count() > 1 or time.monotonic() > end:
            raise SnapshotUnsupportedError(HAS_THREADS.format(names=_names(tasks)))
        time.sleep(0.001)
    if loop is not None and not isinstance(getattr(loop, "_selector", None), selectors.BaseSelector):
        raise SnapshotUnsupportedError(HAS_LOOP.format(name=type(loop).__name__))


def _names(tasks: list[str]) -> str:
    known = {str(thread.native_id): thread.name for thread in threading.enumerate()}
    names = [known.get(task) or _native_name(task) for task in tasks if int(task) != os.getpid()]
    return ", ".join(sorted(names)[:8])


def _native_name(task: str) -> str:
    with contextlib.suppress(OSError):  # it has ended meanwhile
        return f"{(_THREADS / task / 'comm').read_text().strip()} (not of Python)"
    return "one that has ended"


def _fork_away() -> int:
    """Fork a process whose parent is not this one, nor its session and group; return its pid, and 0 in it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # else both would write what waits in it
            stream.flush()
    numbers = random.getstate()  # Python seeds anew in a fork
    read, write = os.pipe()
    between = os.fork()
    if between == 0:
        try:
            if os.fork() != 0:
                os._exit(0)
            # Before anybody knows of it: whoever kills its original means the original's process group.
            os.setsid()
            os.write(write, _PID.pack(os.getpid()))
        except BaseException:
            os._exit(1)
        os.close(read)
        os.close(write)
        random.setstate(numbers)
        return 0
    os.close(write)
    told = os.read(read, _PID.size)
    os.close(read)
    os.waitpid(between, 0)  # from now on the fork is the fork server's
    if not told:
        raise SnapshotUnsupportedError("The environment's process can not be forked: the system allows no more now")
    pid = _PID.unpack(told)[0]
    assert isinstance(pid, int)
    return pid


def _settle(connection: socket.socket, theirs: int, output: int, loop: asyncio.AbstractEventLoop | None) -> None:
    """Make a fork a worker of its own: its line to the server, its output, its event loop."""
    os.dup2(theirs, connection.fileno())
    connection.setblocking(True)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if loop is not None:
        _part(loop)


def _part(loop: Any) -> None:
    """Give an event loop that came along its own selector and its own pipe to itself: it shared its parent's."""
    shared, own = loop._selector, selectors.DefaultSelector()
    for key in list(shared.get_map().values()):
        own.register(key.fd, key.events, key.data)
    loop._selector = own
    shared.close()
    loop._close_self_pipe()
    loop._make_self_pipe()
