"""Processes: seeing, signalling and outliving."""

import ctypes
import os
import signal

from calls import LIBC, call, checked


def see(pid, token):
    """Find a process and what its environment says."""
    with open(f"/proc/{pid}/cmdline") as file:
        line = file.read()
    if token not in line:
        raise ProcessLookupError(3, "there is another process of that number")
    return line


def environment(token):
    """Find a token in the environment of any process."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/environ", errors="replace") as file:
                    if token in file.read():
                        return f"{token} in {name}"
            except OSError:
                continue
    raise ProcessLookupError(3, "no process has it")


def signal_it(pid):
    os.kill(pid, signal.SIGTERM)
    return pid


def signal_group(pid):
    os.killpg(pid, signal.SIGTERM)
    return pid


def by_descriptor(pid):
    signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGTERM)
    return pid


def trace(pid):
    """Attach without stopping it."""
    call("ptrace", 0x4206, pid, 0, 0)  # PTRACE_SEIZE; it ends with this process
    return pid


def memory(pid):
    """Read the first bytes of a mapping of a process."""
    with open(f"/proc/{pid}/maps") as file:
        start = int(file.readline().partition("-")[0], 16)
    with open(f"/proc/{pid}/mem", "rb") as file:
        file.seek(start)
        return file.read(4)


def memory_by_call(pid):
    class Vector(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))

    local = ctypes.create_string_buffer(4)
    here, there = Vector(ctypes.addressof(local), 4), Vector(0x400000, 4)
    try:
        call("process_vm_readv", pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    except OSError as error:
        if error.errno != 14:  # a bad address: it was let in
            raise
    return pid


def descriptor(pid):
    """Take a descriptor out of a process."""
    return call("pidfd_getfd", os.pidfd_open(pid), 0, 0)


def priority(pid):
    os.setpriority(os.PRIO_PROCESS, pid, 5)
    return pid


def limit(pid):
    """Set a limit of another process, to what it is already."""
    import resource

    resource.prlimit(pid, resource.RLIMIT_CORE, resource.prlimit(os.getpid(), resource.RLIMIT_CORE))
    return pid


def outlive(marker):
    """Leave a process behind, in a session of its own, that ignores all it can."""
    ready, done = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            LIBC.prctl(1, 0)
            null = os.open("/dev/null", os.O_RDWR)
            for number in range(3):
                os.dup2(null, number)
            os.write(done, b".")
            os.execv(_python(), [_python(), "-I", "-S", "-c", "import time; time.sleep(600)", marker])
        os._exit(0)
    os.wait()
    os.read(ready, 1)
    return marker


def capabilities():
    """Return the capabilities if there are any."""
    with open("/proc/self/status") as file:
        found = next(line.split()[1] for line in file if line.startswith("CapEff:"))
    if int(found, 16) == 0:
        raise PermissionError(1, "no capabilities")
    return found


def privileges():
    """See whether a set-user-id program would make this process another user."""
    if checked(LIBC.prctl(39, 0, 0, 0, 0)):  # PR_GET_NO_NEW_PRIVS
        raise PermissionError(1, "no new privileges")
    return "new privileges can be had"


def _python():
    import sys

    return sys.executable
