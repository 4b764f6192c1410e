"""Runs a browser for as long as its owner lives: `python browser_guardian.py OWNER PROFILE PROGRAM ARGUMENTS...`.

The driver of the browser starts this program in its place. It hands on what it was given and watches three
processes: the browser, the driver, and `OWNER`, the process id of the server. When one of them is gone, it ends
whatever the browser has started (orphans come to it, for it is their reaper), and a driver without a server, and
removes the folder `PROFILE`. So it does when it is sent SIGTERM. If it is killed itself, the system ends the
browser, whose other processes go with it.
"""

import ctypes
import os
import select
import shutil
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
DEVTOOLS = (3, 4)
"""Descriptors over which driver and browser talk."""
GRACE_MS = 2000
"""How long a driver has to end by itself, which it does when its server is gone."""


def main(owner: int, profile: Path, command: list[str]) -> int:
    """Start the browser, wait for the first end, and clear up."""
    library = ctypes.CDLL(None)
    library.prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGINT, signal.SIGHUP):  # they are meant for the server
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        server, driver = os.pidfd_open(owner), os.pidfd_open(os.getppid())
        browser = os.pidfd_open(_start(command, library))
        (profile / "guardian").write_text(str(os.getpid()))
        for descriptor in DEVTOOLS:
            os.close(descriptor)
        _await_any([server, driver, browser], None)
        if _await_any([server], 0) and not _await_any([driver], GRACE_MS):
            signal.pidfd_send_signal(driver, signal.SIGKILL)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end_children()
        shutil.rmtree(profile, ignore_errors=True)
    return 0


def _start(command: list[str], library: ctypes.CDLL) -> int:
    guardian = os.getpid()
    pid = os.fork()
    if pid == 0:
        library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == guardian:
            os.execv(command[0], command)  # noqa: S606 - the browser
        os._exit(1)
    return pid


def _await_any(descriptors: list[int], timeout_ms: "int | None") -> bool:
    """Return whether one of some processes has ended, within a time."""
    events = select.poll()
    for descriptor in descriptors:
        events.register(descriptor, select.POLLIN)
    return bool(events.poll(timeout_ms))


def _end_children() -> None:
    """End all descendants: when one is gone, its children are this process's."""
    while True:
        for pid in _children():
            os.kill(pid, signal.SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            return


def _children() -> list[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = place.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile, or is not ours to look at
            continue
        if int(after_name[1]) == os.getpid():
            found.append(int(place.parent.name))
    return found


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
