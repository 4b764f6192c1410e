"""A seccomp filter: system calls that an environment has no need for are refused.

The filter is a program for the kernel's small machine (BPF), put together here. It is a list of what is refused,
with calls that are newer than the list answered as unknown, so that neither an upgrade of the C library nor one of
the kernel opens or breaks anything. Refused calls fail with EPERM; where a library has another way and looks for
ENOSYS (`clone3`), with that. A call of another architecture than the process's own ends it.
"""

from __future__ import annotations

import errno
import struct
from typing import NamedTuple

from openenv.containment.kernel import machine, no_new_privileges, syscall
from openenv.containment.numbers import LAST, NUMBERS

__all__ = ["Refusal", "install", "program", "refusals", "unavailable"]


class Condition(NamedTuple):
    """Holds if an argument of the call, after a mask, is one of some values, or none of them."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    negated: bool = False


class Refusal(NamedTuple):
    """Calls that are refused with an error, if all conditions hold."""

    calls: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()
    error: int = errno.EPERM


# --- what is refused -----------------------------------------------------------------------------

_SURFACE = """
    _sysctl acct add_key adjtimex afs_syscall bpf chroot clock_adjtime clock_settime create_module delete_module
    fanotify_init fanotify_mark finit_module fsconfig fsmount fsopen fspick get_kernel_syms init_module
    io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl listmount
    lookup_dcookie memfd_secret migrate_pages modify_ldt mount mount_setattr move_mount move_pages
    name_to_handle_at nfsservctl open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root
    process_madvise process_mrelease process_vm_readv process_vm_writev ptrace query_module quotactl quotactl_fd
    reboot request_key sethostname setdomainname setns settimeofday statmount swapoff swapon syslog sysfs umount2
    unshare uselib userfaultfd ustat vhangup
"""
_METADATA = """
    chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat setxattr lsetxattr fsetxattr removexattr
    lremovexattr fremovexattr utime utimes futimesat utimensat
"""
_SHARED = """
    shmget shmat shmctl msgget msgsnd msgrcv msgctl semget semop semtimedop semctl mq_open mq_unlink
    ioprio_set get_robust_list
"""
_SCHEDULING = ("sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr", "prlimit64")
_RINGS = ("io_uring_setup", "io_uring_enter", "io_uring_register")
_SIGNALS = ("tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal")

_CLONE_NEW = 0x7E020000  # a namespace of any kind
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_STREAM, _DATAGRAM, _RAW, _TYPE = 1, 2, 3, 0xF
_TCP = (0, 6)
_OF_A_USER = 2
_FASTOPEN = 0x20000000


def refusals(
    *,
    network: bool = False,
    connect: bool = True,
    unix_sockets: bool = True,
    signals: bool = True,
    metadata: bool = True,
    others: bool = True,
    surface: bool = False,
) -> list[Refusal]:
    """Return what a filter refuses: whatever is set to False.

    Args:
        network: Sockets other than TCP and Unix ones. Raw ones and those of odd families are refused in any case.
        connect: Every connection, whatever the kind of socket.
        unix_sockets: Unix sockets other than connected pairs.
        signals: Signals to anything but the own process group.
        metadata: Changing mode, owner, times and extended attributes of files.
        others: Limits and priorities of other processes, and what all processes of a user share: System V's
            memory, queues and semaphores, and message queues.
        surface: What of the kernel only debuggers, administrators and container engines need: mounting,
            namespaces, tracing, modules, keys, io_uring and the like.
    """
    found = [
        Refusal(("socket",), (Condition(0, (_INET, _INET6)), Condition(1, (_RAW,), mask=_TYPE))),
        Refusal(("socket",), (_other_families(network, unix_sockets),), error=errno.EAFNOSUPPORT),
    ]
    if not surface:
        found += [
            Refusal(tuple(_SURFACE.split())),
            Refusal(("clone3",), error=errno.ENOSYS),
            Refusal(("clone",), (Condition(0, (0,), mask=_CLONE_NEW, negated=True),)),
            Refusal(("ioctl",), (Condition(1, (_TIOCSTI, _TIOCLINUX)),)),
        ]
    if network:
        found.append(Refusal(("socket",), (Condition(0, (_NETLINK,)), Condition(2, (0,), negated=True))))
    else:
        inet = Condition(0, (_INET, _INET6))
        found.append(Refusal(("socket",), (inet, Condition(1, (_STREAM,), mask=_TYPE, negated=True))))
        # Other protocols over streams, such as Multipath TCP, are not what Landlock means by TCP.
        found.append(Refusal(("socket",), (inet, Condition(2, _TCP, negated=True))))
        # A ring makes sockets and connections past any filter of calls.
        found.append(Refusal(_RINGS))
        # A connection that is opened by sending.
        found.append(Refusal(("sendmsg",), (Condition(2, (_FASTOPEN,), mask=_FASTOPEN),)))
        found.append(Refusal(("sendto", "sendmmsg"), (Condition(3, (_FASTOPEN,), mask=_FASTOPEN),)))
    if not connect:
        found.append(Refusal(("connect",), error=errno.EACCES))
    if not unix_sockets:
        # One end of a pair of datagram sockets can be sent to anybody.
        found.append(Refusal(("socketpair",), (Condition(1, (_DATAGRAM, _RAW), mask=_TYPE),)))
    if not signals:
        found.append(Refusal(("kill",), (Condition(0, (0,), negated=True),)))
        found.append(Refusal(_SIGNALS))
    if not metadata:
        found.append(Refusal(tuple(_METADATA.split())))
    if not others:
        found.append(Refusal(tuple(_SHARED.split())))
        found.append(Refusal(_SCHEDULING, (Condition(0, (0,), negated=True),)))
        found.append(Refusal(("setpriority",), (Condition(1, (0,), negated=True),)))
        found.append(Refusal(("setpriority",), (Condition(0, (_OF_A_USER,)),)))
    return found


def _other_families(network: bool, unix_sockets: bool) -> Condition:
    families = (_INET, _INET6) + (_NETLINK,) * network + (_UNIX,) * unix_sockets
    return Condition(0, families, negated=True)


# --- the program ---------------------------------------------------------------------------------

_LOAD, _AND, _JUMP, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in `struct seccomp_data`
_KILL, _ERROR, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMN = {"x86_64": 0, "aarch64": 1}
_X32 = 0x40000000


class _Instruction(NamedTuple):
    code: int
    value: int
    if_true: int = 0
    if_false: int = 0

    def packed(self) -> bytes:
        return struct.pack("=HBBI", self.code, self.if_true, self.if_false, self.value)


def program(refused: list[Refusal], architecture: str) -> bytes:
    """Return the filter's instructions as the kernel takes them.

    Args:
        refused: What it refuses; the first that applies counts.
        architecture: `x86_64` or `aarch64`.
    """
    code = [
        _Instruction(_LOAD, _ARCHITECTURE),
        _Instruction(_IF_EQUAL, _AUDIT[architecture], if_true=1),
        _Instruction(_RETURN, _KILL),
        _Instruction(_LOAD, _NUMBER),
    ]
    if architecture == "x86_64":  # the same calls by other numbers
        code += [_Instruction(_IF_AT_LEAST, _X32, if_false=1), _Instruction(_RETURN, _ERROR | errno.ENOSYS)]
    code += [_Instruction(_IF_AT_LEAST, LAST + 1, if_false=1), _Instruction(_RETURN, _ERROR | errno.ENOSYS)]
    for refusal in refused:
        for call in refusal.calls:
            number = NUMBERS[call][_COLUMN[architecture]]
            if number is not None:
                then = _tested(refusal)
                code += [_Instruction(_IF_EQUAL, number, if_false=len(then)), *then]
    code.append(_Instruction(_RETURN, _ALLOW))
    return b"".join(instruction.packed() for instruction in code)


def _tested(refusal: Refusal) -> list[_Instruction]:
    """Return what is run for a call that may be refused; where it is not, the number is loaded again."""
    refuse = _Instruction(_RETURN, _ERROR | refusal.error)
    if not refusal.conditions:
        return [refuse]
    back = [_Instruction(_LOAD, _NUMBER)]
    rest = [refuse, *back]
    for condition in reversed(refusal.conditions):
        rest = _condition(condition, rest)
    return rest


def _condition(condition: Condition, then: list[_Instruction]) -> list[_Instruction]:
    """Return code that runs `then` if the condition holds, else goes to its last instruction."""
    # Little-endian both: the lower half comes first, and flags, families and types have no upper one.
    start = [_Instruction(_LOAD, _ARGUMENTS + 8 * condition.argument)]
    if condition.mask != 0xFFFFFFFF:
        start.append(_Instruction(_AND, condition.mask))
    past = len(then) - 1
    after = len(condition.values)
    if condition.negated:  # met: to the end of `then`; none met: into it
        tests = [
            _Instruction(_IF_EQUAL, value, if_true=after - 1 - index + past)
            for index, value in enumerate(condition.values)
        ]
        return [*start, *tests, *then]
    tests = [_Instruction(_IF_EQUAL, value, if_true=after - index) for index, value in enumerate(condition.values)]
    return [*start, *tests, _Instruction(_JUMP, past), *then]


# --- installing it -------------------------------------------------------------------------------

_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_FILTER, _ACTION_AVAILABLE = 1, 2
_ALL_THREADS = 1


def unavailable() -> str | None:
    """Return None if this kernel takes filters, else why not."""
    try:
        syscall(_SECCOMP[machine()], _ACTION_AVAILABLE, 0, struct.pack("=I", _ERROR))
    except OSError as error:
        return str(error)
    return None


def install(refused: list[Refusal]) -> None:
    """Put the filter over all threads of this process, and over everything it starts, for good.

    Raises:
        OSError: The kernel has no seccomp, or a thread has a filter of its own.
    """
    import ctypes

    architecture = machine()
    code = program(refused, architecture)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    no_new_privileges()
    thread = syscall(_SECCOMP[architecture], _SET_FILTER, _ALL_THREADS, header)
    if thread:
        raise OSError(errno.EBUSY, f"thread {thread} has a filter of its own")
