"""A user id that nobody else has, for one sandbox. Only root can give one.

The kernel counts processes by user id, lets processes of one user signal each other, and lets a user's files be
changed by the user. None of it reaches across where every sandbox is a user of its own.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

from openenv.containment.kernel import machine, no_new_privileges, syscall

__all__ = ["become", "closed", "drop_capabilities", "fresh", "possible", "threads_of"]

# Above every range that systemd and container engines give out, and positive where somebody takes it for an int.
_READ, _ENTER = 0o004, 0o001  # for others
_FIRST, _BITS = 0x7000_0000, 27
_CAPSET, _VERSION_3 = {"x86_64": 126, "aarch64": 91}, 0x20080522
_CAN_SETUID = 1 << 7 | 1 << 6


def possible() -> str | None:
    """Return None if this process may take any user id, else why not."""
    if not hasattr(os, "setresuid"):
        return "this system has no setresuid"
    if os.geteuid() != 0:
        return "only root can give away user ids"
    if _effective_capabilities() & _CAN_SETUID != _CAN_SETUID:
        return "the capabilities CAP_SETUID and CAP_SETGID are missing"
    if not _is_mapped(_FIRST + (1 << _BITS)):
        return "user ids of this user namespace end below those used for sandboxes"
    return None


def fresh() -> int:
    """Return a user id that nobody has, at random out of 134 million."""
    return _FIRST + secrets.randbits(_BITS)


def become(uid: int) -> None:
    """Take a user id and a group id of the same number, and no other groups.

    Raises:
        OSError: It is refused.
    """
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def drop_capabilities() -> None:
    """Give up all that root may do beyond its user id, for good.

    Raises:
        OSError: It is refused.
    """
    no_new_privileges()  # else root gets them back by running a program
    syscall(_CAPSET[machine()], struct.pack("=Ii", _VERSION_3, 0), bytes(24))


def closed(paths: Iterable[str], *, with_parents: bool) -> str | None:
    """Return the first of some files and folders that a foreign user may not read or enter; None if there is none.

    Args:
        paths: Where to look.
        with_parents: Whether the way to them counts, too.
    """
    for path in paths:
        if not os.path.exists(path):
            continue
        found = Path(path)
        needed = _READ | _ENTER if found.is_dir() else _READ
        if _mode(found) & needed != needed:
            return path
        for folder in found.parents if with_parents else ():
            if not _mode(folder) & _ENTER:
                return str(folder)
    return None


def threads_of(uid: int) -> int:
    """Return how many processes and threads of a user there are, which is what the limit of processes counts."""
    count = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == uid:
                    count += os.stat(f"/proc/{entry.name}/task").st_nlink - 2
    return count


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _effective_capabilities() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)


def _is_mapped(uid: int) -> bool:
    try:
        lines = Path("/proc/self/uid_map").read_text().splitlines()
    except OSError:
        return False
    ranges = [tuple(map(int, line.split())) for line in lines]
    return any(first <= uid < first + count for first, _, count in ranges)
