"""System calls that Python has no function for, and the errors they return as exceptions."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38


def syscall(number: int, *arguments: int | bytes | None) -> int:
    """Make a system call of Linux.

    Raises:
        OSError: What the kernel said; `ENOSYS` where there is no Linux.
    """
    if sys.platform != "linux":
        raise OSError(38, "this is not Linux")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    result: int = libc.syscall(ctypes.c_long(number), *map(_as_c, arguments))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def no_new_privileges() -> None:
    """Give up, for good, what a program could gain by running another one that is set-user-id.

    Raises:
        OSError: It is refused.
    """
    syscall(_PRCTL[machine()], PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def end_with_parent(parent: int) -> None:
    """Have this process killed as soon as its parent ends.

    Args:
        parent: The parent's process id; if it is another one by now, this process ends at once.

    Raises:
        OSError: It is refused.
    """
    syscall(_PRCTL[machine()], PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def machine() -> str:
    """Return the kernel's architecture, such as `x86_64`.

    Raises:
        OSError: It is none of those whose system calls are known here.
    """
    name = platform.machine()
    if name not in _PRCTL:
        raise OSError(38, f"the system calls of {name} are not known here, only those of {' and '.join(_PRCTL)}")
    return name


_PRCTL = {"x86_64": 157, "aarch64": 167}


def _as_c(argument: int | bytes | None) -> object:
    return ctypes.c_ulong(argument) if isinstance(argument, int) else argument
