"""One process of a workspace: made by a fork of the keeper, held, and then a program, a shell or an interpreter."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import termios
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from openenv.containment.kernel import end_with_parent
from openenv.containment.restrictions import Restrictions

__all__ = ["Place", "Started", "start"]

# The signals that the keeper, or Python when it starts, treats in a way that programs are not to inherit.
_USUAL = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)

LONGEST_REASON = 4096


@dataclass(frozen=True)
class Place:
    """Where and how the processes of a workspace run.

    Attributes:
        folder: Where they begin.
        restrictions: What holds them.
        groups: Folders of control groups that they begin in.
        env: All their environment variables.
    """

    folder: str
    restrictions: Restrictions
    groups: Sequence[str]
    env: Mapping[str, str]


@dataclass(frozen=True)
class Started:
    """A process that was started; all descriptors are this side's.

    Attributes:
        pid: Its id, and that of its session and process group.
        ended: A descriptor that is readable once it has ended.
        outputs: What it writes: standard output and error, or the terminal.
        requests: Where it reads requests; None if it takes none.
        answers: Where it answers.
        terminal: The other side of its terminal, if it has one.
    """

    pid: int
    ended: int
    outputs: tuple[int, ...]
    requests: int | None = None
    answers: int | None = None
    terminal: int | None = None


def start(
    place: Place,
    run: Callable[[], None],
    *,
    stdin: bytes | None = None,
    terminal: tuple[int, int] | None = None,
    asked: bool = False,
) -> Started:
    """Start a process, and return once it is held.

    Args:
        place: Where it runs.
        run: What it does, in the new process; it may run another program. Its return is the end of the process.
        stdin: Its standard input; None for an empty one.
        terminal: Rows and columns of a terminal that it runs in.
        asked: Whether it takes requests, on descriptors 3 (requests) and 4 (answers).

    Raises:
        OSError: It could not be started, or not be held; it has run nothing then.
    """
    ours: list[int] = []
    theirs: list[int] = []
    try:
        if terminal is not None:
            main, side = os.openpty()
            fcntl.ioctl(side, termios.TIOCSWINSZ, _size(*terminal))
            outputs: tuple[int, ...] = (main,)
            standard = (side, side, side)
            ours, theirs = [main], [side]
        else:
            source = _input(stdin)
            (out, out_end), (err, err_end) = os.pipe(), os.pipe()
            outputs, standard = (out, err), (source, out_end, err_end)
            ours, theirs = [out, err], list(standard)
        requests = answers = None
        if asked:
            (read, requests), (answers, write) = os.pipe(), os.pipe()
            ours += [requests, answers]
            theirs += [read, write]
        for descriptor in ours:
            os.set_blocking(descriptor, False)
        descriptors = [*standard, *theirs[-2:]] if asked else list(standard)
        told, tell = os.pipe()
        theirs.append(tell)
        ours.append(told)
        pid = os.fork()
        if pid == 0:
            _become(place, run, descriptors, tell, terminal is not None)
        os.close(theirs.pop())
        if reason := os.read(told, LONGEST_REASON):
            os.waitpid(pid, 0)
            raise OSError(f"a process could not be held: {reason.decode(errors='replace')}")
        os.close(ours.pop())
        ended = os.pidfd_open(pid)
    except OSError:
        for descriptor in ours:
            os.close(descriptor)
        raise
    finally:
        for descriptor in set(theirs):
            os.close(descriptor)
    return Started(pid, ended, outputs, requests, answers, outputs[0] if terminal is not None else None)


def _become(place: Place, run: Callable[[], None], descriptors: list[int], tell: int, terminal: bool) -> None:
    """Be the new process; what keeps it from being held goes to `tell`, which is closed once it is."""
    keeper = os.getppid()
    status = 1
    try:
        os.setsid()
        for number in _USUAL:
            signal.signal(number, signal.SIG_DFL)
        for group in place.groups:
            with open(f"{group}/cgroup.procs", "w") as members:
                members.write("0")  # the one that writes
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
            score.write("1000")  # if memory runs out, this goes before anything of the server
        tell = _take(descriptors, tell)
        if terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        os.umask(0o022)
        os.environ.clear()
        os.environ.update(place.env)
        place.restrictions.apply()
        end_with_parent(keeper)  # a change of the user id would take it away
    except BaseException as error:
        os.write(tell, f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace")[:LONGEST_REASON])
        os._exit(status)
    try:
        os.close(tell)
        os.chdir(place.folder)
        run()
        status = 0
    except BaseException as error:
        os.write(2, f"{str(error) or type(error).__name__}\n".encode("utf-8", "backslashreplace"))
        if isinstance(error, OSError):  # as shells have it
            status = 127 if isinstance(error, FileNotFoundError) else 126
    finally:
        os._exit(status)


def _take(descriptors: list[int], more: int) -> int:
    """Make the descriptors 0, 1, 2 and so on, and close all others but one; return what number that has now."""
    kept = len(descriptors)
    for free, descriptor in enumerate([*descriptors, more], 1000):  # out of the way of one another
        os.dup2(descriptor, free)
    for number in range(kept):
        os.dup2(1000 + number, number, inheritable=True)
    os.dup2(1000 + kept, kept, inheritable=False)
    os.closerange(kept + 1, 1 << 16)
    return kept


def _input(data: bytes | None) -> int:
    """Return a descriptor that the data can be read from."""
    if not data:
        return os.open(os.devnull, os.O_RDONLY)
    source = os.memfd_create("stdin")
    with open(source, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(source, 0, os.SEEK_SET)
    return source


def _size(rows: int, columns: int) -> bytes:
    return struct.pack("HHHH", rows, columns, 0, 0)


def run_program(command: Sequence[str], env: Mapping[str, str]) -> Callable[[], None]:
    """Return what runs a program in place of the process."""

    def run() -> None:
        os.environ.update(env)
        try:
            os.execvp(command[0], list(command))  # noqa: S606
        except FileNotFoundError:
            raise FileNotFoundError(f"{command[0]}: command not found") from None

    return run
