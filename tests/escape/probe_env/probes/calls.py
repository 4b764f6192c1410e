"""System calls by number."""

import ctypes
import os
import platform

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
_COLUMN = {"x86_64": 0, "aarch64": 1}[platform.machine()]

NUMBERS = {
    "bpf": (321, 280),
    "add_key": (248, 217),
    "keyctl": (250, 219),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "clone": (56, 220),
    "clone3": (435, 435),
    "unshare": (272, 97),
    "setns": (308, 268),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "pidfd_getfd": (438, 438),
    "open_tree": (428, 428),
    "swapon": (167, 224),
    "sethostname": (170, 161),
    "clock_settime": (227, 112),
}


def call(name, *arguments):
    """Make the call; integers are passed as unsigned long."""
    passed = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments]
    return checked(LIBC.syscall(ctypes.c_long(NUMBERS[name][_COLUMN]), *passed))


def checked(result):
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
