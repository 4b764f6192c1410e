"""A process between a program and the server it started: when the program is gone, everything here goes too.

It is run by path in an interpreter of its own (`python -I -S _watchdog.py ...`), imports next to nothing and
never runs foreign code, so it reacts within milliseconds whatever the server does: stuck in C code, ignoring
signals, out of memory. It is the server's parent, which is why it can signal the server's process group
without ever hitting a process that merely got the same number.

The program holds the other end of a socket, the control. Through it go

    from here   the server's process id and a newline, once it runs
    to here     `T`: ask the server to end (SIGTERM to its group); `K`: kill everything
    its end     the program is gone, by whatever way: kill everything

When the server ends by itself, what it left behind is killed as well, and the folders that were made for it are
removed. This process exits last, with the server's exit code, or 128 and the signal's number.
"""

from __future__ import annotations

import os
import select
import signal
import sys

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than all the rest
if TYPE_CHECKING:
    from collections.abc import Callable

# How often to look whether the program still lives where the system does not tell of it.
LOOK_MS = 500

# A control group counts a process until its last traces are gone, a few milliseconds after its end.
REMOVALS, REMOVAL_PAUSE_S = 200, 0.005

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

# The signals that we, or Python when it starts, treat in a way the server is not to inherit.
_OURS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)


def main(
    control: int, program: int, handed_on: list[int], groups: list[str], deaf: bool, command: list[str]
) -> int:
    """Run the command and watch over it; return the exit code for this process.

    Args:
        control: Descriptor of the control socket.
        program: Process id of the program, to notice that it was gone before this began.
        handed_on: Descriptors that are the server's and not kept here.
        groups: Folders of control groups that the server begins in.
        deaf: Whether the command starts with SIGTERM ignored.
        command: The server's command line.
    """
    os.set_inheritable(control, False)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the thread that started this may have blocked some
    woken, asked = _listen_to_signals()
    program_end = _end_of(program)
    prctl = _prctl()
    prctl(PR_SET_CHILD_SUBREAPER, 1)  # processes that left the group come back here instead of to init
    if os.getppid() != program:
        return 0
    server = _spawn(command, prctl, groups, deaf)
    for descriptor in handed_on:
        os.close(descriptor)
    _send(control, f"{server}\n".encode())

    events = select.poll()
    for descriptor in (control, woken, *program_end):
        events.register(descriptor, select.POLLIN)
    wait_ms = None if program_end else LOOK_MS
    code = None
    while code is None:
        ready = {descriptor for descriptor, _ in events.poll(wait_ms)}
        if woken in ready:
            os.read(woken, 4096)
        code = _reap(server)
        if asked or not ready.isdisjoint(program_end) or os.getppid() != program:
            break
        if control in ready and _obey(control, server):
            break
    return _kill_all(server, code)


def _end_of(program: int) -> list[int]:
    """Return a descriptor that is readable once the program is gone, or nothing where there is none.

    It tells what the control cannot: the program is gone though a fork of it still holds the other end.
    """
    try:
        return [os.pidfd_open(program)]
    except (AttributeError, OSError):
        return []


def _obey(control: int, server: int) -> bool:
    """Carry out what came over the control; return whether everything has to go."""
    try:
        orders = os.read(control, 64)
    except ConnectionError:
        orders = b""
    if b"T" in orders:
        _signal_group(server, signal.SIGTERM)
    return not orders or b"K" in orders


def _listen_to_signals() -> tuple[int, list[int]]:
    """Return a descriptor that is readable after a signal, and the list of requests to end that came."""
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: asked.append(received))
    return woken, asked


def _prctl() -> Callable[..., object]:
    """Return Linux's prctl, or something that does nothing where there is none."""
    if sys.platform == "linux":
        try:
            import ctypes

            function: Callable[..., object] = ctypes.CDLL(None).prctl
            return function
        except (ImportError, OSError, AttributeError):
            pass
    return lambda *_: None


def _spawn(command: list[str], prctl: Callable[..., object], groups: list[str], deaf: bool) -> int:
    """Start the server in a session of its own; return once it runs, so that no signal comes too early."""
    watchdog = os.getpid()
    runs, not_yet = os.pipe()
    server = os.fork()
    if server:
        os.close(not_yet)
        os.read(runs, 1)  # its copy of the other end is closed by the system when it runs the command
        os.close(runs)
        return server
    try:
        os.setsid()
        for number in _OURS:
            signal.signal(number, signal.SIG_DFL)
        if deaf:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for group in groups:
            with open(f"{group}/cgroup.procs", "w") as members:
                members.write("0")  # the one that writes
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # should this process itself be killed
        if os.getppid() == watchdog:
            os.execvp(command[0], command)  # noqa: S606
    except BaseException as error:
        os.write(2, f"{command[0]} cannot be run: {error}\n".encode())
    os._exit(127)


def _reap(server: int) -> int | None:
    """Collect every child that has ended; return the server's exit code if it was among them."""
    code = None
    while True:
        try:
            child, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if child == 0:
            return code
        if child == server:
            code = _exit_code(status)


def _kill_all(server: int, code: int | None) -> int:
    """Kill the group and every descendant, wait for the last of them, return the server's exit code.

    Killing a process makes its children ours, so going on until there are none reaches all of them. The
    group is named once only, and at once: if it is empty by now its number is free, and the system does not
    come round to giving it to others within moments.
    """
    _signal_group(server, signal.SIGKILL)
    while True:
        for child in _children():
            try:
                os.kill(child, signal.SIGKILL)
            except OSError:  # gone meanwhile, or not ours to kill
                pass
        try:
            child, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return 128 + signal.SIGKILL if code is None else code
        if child == server:
            code = _exit_code(status)
        found = _reap(server)
        code = found if found is not None else code


def _clean_up(groups: list[str], folders: list[str]) -> None:
    """Remove what was made for the server. Nothing runs in the groups; the system may take a moment to see it."""
    for group in groups:
        for _ in range(REMOVALS):
            try:
                os.rmdir(group)
                break
            except FileNotFoundError:
                break
            except OSError:
                select.select([], [], [], REMOVAL_PAUSE_S)
    if folders:
        # Behind the standard library: the folder may be one of all packages.
        sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
        from openenv.containment.removal import remove

        for folder in folders:
            remove(folder)


def _children() -> list[int]:
    """Return the process ids of our children; none where there is no /proc, and the group has to do."""
    me = os.getpid()
    try:
        processes = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
    return [process for process in processes if _parent(process) == me]


def _parent(process: int) -> int:
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            # The second field is a name in parentheses, which may hold anything, parentheses too.
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _signal_group(leader: int, number: int) -> None:
    try:
        os.killpg(leader, number)
    except OSError:  # nobody left in it
        pass


def _send(control: int, message: bytes) -> None:
    try:
        os.write(control, message)
    except OSError:  # the program is gone; the loop sees it too
        pass


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _lines(text: str) -> list[str]:
    return text.split("\n") if text else []


if __name__ == "__main__":
    _control, _program, _handed_on, _groups, _folders, _deaf, *_command = sys.argv[1:]
    try:
        _status = main(
            control=int(_control),
            program=int(_program),
            handed_on=[int(number) for number in _handed_on.split(",") if number],
            groups=_lines(_groups),
            deaf=bool(_deaf),
            command=_command,
        )
    finally:
        _clean_up(_lines(_groups), _lines(_folders))
    sys.exit(_status)
