"""Kernel surface: what only administrators, debuggers and container engines need."""

import ctypes
import errno
import os

from calls import LIBC, call, checked

CLONE_NEWUSER = 0x10000000
CLONE_NEWNS = 0x00020000
SIGCHLD = 17


def mount(path):
    checked(LIBC.mount(b"probe", path.encode(), b"tmpfs", 0, b"size=4k"))
    return path


def open_tree(path):
    return call("open_tree", ctypes.c_long(-100), path.encode(), 1)


def user_namespace():
    call("unshare", CLONE_NEWUSER)
    return "a user namespace"


def mount_namespace():
    call("unshare", CLONE_NEWNS)
    return "a mount namespace"


def cloned_namespace():
    """The same by another call."""
    child = call("clone", CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "a user namespace"


def join_namespace():
    call("setns", os.open("/proc/1/ns/mnt", os.O_RDONLY), 0)
    return "the namespace of process 1"


def chroot(path):
    checked(LIBC.chroot(path.encode()))
    return path


def bpf():
    attributes = (ctypes.c_uint32 * 16)(2, 4, 4, 1)  # an array of one element
    return call("bpf", 0, ctypes.byref(attributes), ctypes.sizeof(attributes))


def add_key():
    return call("add_key", b"user", b"openenv-probe", b"x", 1, ctypes.c_long(-2))


def keyctl():
    return call("keyctl", 0, ctypes.c_long(-3), 1)


def io_uring():
    return call("io_uring_setup", 1, ctypes.create_string_buffer(256))


def perf():
    attributes = (ctypes.c_uint64 * 16)(1 | 128 << 32, 0)  # software, the CPU clock
    return call("perf_event_open", ctypes.byref(attributes), 0, ctypes.c_long(-1), ctypes.c_long(-1), 0)


def userfaultfd():
    return call("userfaultfd", 0)


def module():
    """Offer something that is no module; that the kernel looks at it is too much."""
    return _looked_at("finit_module", os.open("/dev/null", os.O_RDONLY), b"", 0)


def kexec():
    """Ask for nothing to be loaded."""
    return _looked_at("kexec_load", 0, 0, None, 0)


def swap(path):
    """Offer a folder as swap space; that the kernel looks at it is too much."""
    return _looked_at("swapon", path.encode(), 0)


def host_name():
    """Give the name that it has already."""
    name = os.uname().nodename.encode()
    return call("sethostname", name, len(name))


def clock():
    """Set a clock that cannot be set; that the kernel looks at it is too much."""
    return _looked_at("clock_settime", 1, (ctypes.c_long * 2)())


def open_for_reading(path):
    os.close(os.open(path, os.O_RDONLY))
    return path


def open_for_writing(path):
    os.close(os.open(path, os.O_WRONLY))
    return path


def device():
    """Make a device file of the machine's memory, and open it."""
    import tempfile

    path = os.path.join(tempfile.mkdtemp(), "null")
    os.mknod(path, 0o600 | 0x2000, os.makedev(1, 3))  # that of /dev/null, which harms nobody
    os.close(os.open(path, os.O_RDWR))
    os.unlink(path)
    return path


def _looked_at(name, *arguments):
    try:
        return f"{name} returned {call(name, *arguments)}"
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES, errno.ENOSYS):
            raise
        return f"{name} was looked at: {error}"
