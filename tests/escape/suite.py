"""The escape suite: every probe, what would be an escape, and the run of all of them against a provider.

What a probe claims is not believed where it can be looked at from outside: `harmed` looks at the host. A container
that has an `/etc/shadow` of its own, or processes of its own, has not been escaped from.

Every probe has to be harmless where nothing stops it, for it is run there, too, and by root: it touches only what
`Host` has made, opens without writing, and stops at a bound. Nothing is tried on `/tmp`, on `/proc` or on processes
of others.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.escape.host import Host
from tests.servers import wait_until

from openenv.providers import Provider

__all__ = ["CASES", "Case", "Limits", "Result", "run"]

PROBE_ENV = Path(__file__).with_name("probe_env")
MIB = 1024 * 1024
STEP_S = 90.0


@dataclass(frozen=True)
class Limits:
    """What the provider under test has been told to allow. The bombs go to about twice of it.

    Attributes:
        memory: Bytes of each process.
        memory_total: Whether it is the limit of all processes together, too.
        processes: Processes and threads.
        files: Open files of a process; None if the provider does not limit them.
        file_bytes: The size of a file; None likewise.
        disk_bytes: All files together; None likewise.
        cpu_s: Seconds of CPU time of a process; None likewise.
    """

    memory: int = 512 * MIB
    memory_total: bool = True
    processes: int = 96
    files: int | None = 256
    file_bytes: int | None = 32 * MIB
    disk_bytes: int | None = 64 * MIB
    cpu_s: int | None = 5


Arguments = Callable[[Host, Limits], Mapping[str, Any] | None]
Harmed = Callable[[Host, str | None], bool]


@dataclass(frozen=True)
class Case:
    """One attempt.

    Attributes:
        probe: `module.function` in `probe_env/probes`.
        what: What is tried, for people.
        arguments: Those of the probe; None if it has no meaning here.
        harmed: Whether the host was harmed, given what the probe reached; by default, whether it reached anything.
        alone: Whether it gets a server of its own, which may not survive.
        uncontrolled: Why it does not succeed where nothing stops it either, if so.
        group: The first part of the probe's name.
    """

    probe: str
    what: str
    arguments: Arguments = lambda _host, _limits: {}
    harmed: Harmed = lambda _host, reached: reached is not None
    alone: bool = False
    uncontrolled: str = ""

    @property
    def group(self) -> str:
        return self.probe.partition(".")[0]

    @property
    def name(self) -> str:
        return f"{self.group}: {self.what}"


@dataclass
class Result:
    """What came of one attempt.

    Attributes:
        case: What was tried.
        escaped: Whether the host was harmed.
        error: By which error the probe was stopped, if it was.
        detail: More about it.
    """

    case: Case
    escaped: bool
    error: str = ""
    detail: str = field(default="", repr=False)

    def __str__(self) -> str:
        return "ESCAPED" if self.escaped else self.error or "held"


def _token(host: Host, reached: str | None) -> bool:
    return reached is not None and host.token in reached


def _came(host: Host, reached: str | None) -> bool:
    """What was sent may take a moment to be heard; where nothing was reached there is nothing to wait for."""
    return wait_until(host.heard, 5.0 if reached else 0.0)


def _file(host: Host, _reached: str | None) -> bool:
    harmed = host.file_harmed()
    host.renew_file()
    (host.open / "written").unlink(missing_ok=True)
    return harmed


def _victim(host: Host, reached: str | None) -> bool:
    harmed = wait_until(host.victim_harmed, 5.0 if reached else 0.0)
    if harmed:
        host.renew_victim()
    return harmed


def _files() -> Iterator[Case]:
    def secret(host: Host, _: Limits) -> dict[str, Any]:
        return {"path": str(host.secret)}

    def harm(host: Host, _: Limits) -> dict[str, Any]:
        return {"path": str(host.file)}

    yield Case(
        "files.digest",
        "read /etc/shadow",
        lambda *_: {"path": "/etc/shadow"},
        lambda host, reached: reached == host.digest("/etc/shadow"),
    )
    yield Case("files.read", "read a key in the home", secret, _token)
    yield Case("files.names", "list the home", lambda host, _: {"path": str(host.home)}, _token)
    yield Case("files.link", "read a key by a symbolic link", secret, _token)
    yield Case("files.hard_link", "read a key by a hard link", secret, _token, uncontrolled="another file system")
    yield Case("files.around", "read a key by /proc/PID/root", secret, _token)
    yield Case(
        "files.by_handle", "read a key by its inode", secret, _token, uncontrolled="depends on the file system"
    )
    yield Case(
        "files.search",
        "search folders for the token",
        lambda host, _: {"token": host.token, "folders": [str(Path.home()), str(host.open), "/run", "/mnt"]},
        _token,
    )
    yield Case("files.environment", "read secrets of the trainer's environment", harmed=_token)
    yield Case("files.write", "write a file outside", lambda host, _: {"path": str(host.open / "written")}, _file)
    yield Case("files.write", "overwrite a file outside", harm, _file)
    yield Case("files.truncate", "empty a file outside", harm, _file)
    yield Case("files.remove", "remove a file outside", harm, _file)
    yield Case("files.mode", "change the mode of a file outside", harm, _file)


def _network() -> Iterator[Case]:
    def to(address: Callable[[Host], str]) -> Arguments:
        return lambda host, _: {"host": address(host), "port": host.port}

    def loopback(host: Host) -> str:
        return "127.0.0.1"

    def outward(host: Host) -> str:
        return host.address

    yield Case("network.tcp", "connect to a loopback service", to(loopback), _came)
    yield Case("network.tcp", "connect to the host's outward address", to(outward), _came)
    yield Case("network.tcp", "connect to an outside address", lambda *_: {"host": "1.1.1.1", "port": 53},
               uncontrolled="needs a way out")  # fmt: skip
    yield Case("network.fast_open", "connect by sending", to(loopback), _came)
    yield Case("network.multipath", "connect by Multipath TCP", to(loopback), _came,
               uncontrolled="depends on the kernel")  # fmt: skip
    yield Case(
        "network.udp", "send UDP to a loopback service",
        lambda host, _: {"host": "127.0.0.1", "port": host.udp_port}, _came,
    )  # fmt: skip
    yield Case(
        "network.udp", "send UDP to the host's outward address",
        lambda host, _: {"host": host.address, "port": host.udp_port}, _came,
    )  # fmt: skip
    yield Case(
        "network.names", "resolve a name", lambda *_: {"name": "example.com"}, uncontrolled="needs a name server"
    )
    yield Case("network.dns", "ask a name server", lambda *_: {"server": "1.1.1.1"}, uncontrolled="needs a way out")
    yield Case("network.unix", "connect to a Unix socket", lambda host, _: {"path": host.unix}, _came)
    yield Case("network.unix_datagram", "send to a Unix socket", lambda host, _: {"path": host.datagram}, _came)
    yield Case("network.unix", "connect to an abstract socket", lambda host, _: {"path": host.abstract}, _came)
    yield Case(
        "network.unix", "speak to the Docker daemon", lambda *_: {"path": "/var/run/docker.sock"},
        uncontrolled="needs a Docker daemon",
    )  # fmt: skip
    yield Case("network.raw", "open a raw socket", uncontrolled="needs root")
    yield Case("network.packet", "open a packet socket", uncontrolled="needs root")
    yield Case("network.vsock", "open a socket to the hypervisor", uncontrolled="depends on the kernel")
    yield Case("network.listener", "connect by the listening socket", to(loopback), _came, alone=True)


def _processes() -> Iterator[Case]:
    def pid(host: Host, _: Limits) -> dict[str, Any]:
        return {"pid": host.victim}

    yield Case("processes.see", "see a process", lambda host, _: {"pid": host.victim, "token": host.token}, _token)
    yield Case("processes.environment", "read a process's secrets", lambda host, _: {"token": host.token}, _token)
    yield Case("processes.signal_it", "signal a process", pid, _victim)
    yield Case("processes.signal_group", "signal a process group", pid, _victim)
    yield Case("processes.by_descriptor", "signal by a descriptor", pid, _victim)
    yield Case("processes.priority", "slow a process down", pid, _victim)
    yield Case("processes.limit", "limit a process", pid)
    # Whoever has a process of that number inside reaches a process, but not that one.
    yield Case("processes.trace", "trace a process", pid)
    yield Case("processes.memory", "read a process's memory", pid)
    yield Case("processes.memory_by_call", "read a process's memory by a call", pid)
    yield Case("processes.descriptor", "take a process's descriptor", pid)
    yield Case("processes.capabilities", "have capabilities", uncontrolled="needs root")
    yield Case("processes.privileges", "gain privileges by a program")


def _kernel() -> Iterator[Case]:
    root = "needs root"
    yield Case(
        "kernel.mount", "mount", lambda host, _: {"path": str(host.mountpoint)},
        lambda host, reached: host.mounted() or reached is not None, uncontrolled=root,
    )  # fmt: skip
    yield Case("kernel.open_tree", "take a mount", lambda *_: {"path": "/"}, uncontrolled=root)
    for name, what in (
        ("user_namespace", "a new user namespace"),
        ("mount_namespace", "a new mount namespace"),
        ("cloned_namespace", "a new user namespace by clone"),
        ("join_namespace", "join another namespace"),
    ):
        yield Case(f"kernel.{name}", what, uncontrolled=root)
    yield Case("kernel.chroot", "chroot", lambda *_: {"path": "/"}, uncontrolled=root)
    for name, what in (
        ("bpf", "load BPF"),
        ("add_key", "add a key"),
        ("keyctl", "use the keyring"),
        ("io_uring", "use io_uring"),
        ("perf", "count events"),
        ("userfaultfd", "handle page faults"),
        ("module", "load a module"),
        ("kexec", "load another kernel"),
        ("host_name", "set the host's name"),
        ("clock", "set the clock"),
        ("device", "make a device file"),
    ):
        yield Case(f"kernel.{name}", what, uncontrolled="depends on the kernel, and on root")
    yield Case("kernel.swap", "add swap space", lambda *_: {"path": "/"}, uncontrolled=root)
    for path in ("/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/kvm", "/dev/fuse"):
        yield Case("kernel.open_for_reading", f"open {path}", lambda _, __, path=path: {"path": path},
                   uncontrolled="depends on the machine")  # fmt: skip
    for path in (
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/hostname",
        "/proc/sys/vm/drop_caches",
        "/proc/sysrq-trigger",
        "/sys/kernel/uevent_helper",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/cgroup.procs",
    ):
        yield Case("kernel.open_for_writing", f"write to {path}", lambda _, __, path=path: {"path": path},
                   uncontrolled="depends on the machine, and on root")  # fmt: skip


def _bombs() -> Iterator[Case]:
    yield Case("bombs.memory", "fill memory", lambda _, limits: {"size": limits.memory * 3 // 2}, alone=True)
    yield Case(
        "bombs.memory_of_several", "fill memory with several processes",
        lambda _, limits: {"size": limits.memory * 3 // 2, "processes": 6} if limits.memory_total else None,
        alone=True,
    )  # fmt: skip
    yield Case("bombs.forks", "fork", lambda _, limits: {"count": limits.processes * 2})
    yield Case("bombs.threads", "start threads", lambda _, limits: {"count": limits.processes * 2})
    yield Case(
        "bombs.files", "open files",
        lambda _, limits: {"count": limits.files * 2} if limits.files else None,
    )  # fmt: skip
    yield Case(
        "bombs.big_file", "write a big file",
        lambda _, limits: {"size": limits.file_bytes * 2} if limits.file_bytes else None,
    )  # fmt: skip
    yield Case(
        "bombs.disk", "fill the disk",
        lambda _, limits: {
            "size": limits.disk_bytes * 5 // 2, "folders": ["/var/tmp", "/tmp", "/dev/shm", "/"]
        } if limits.disk_bytes else None,
    )  # fmt: skip
    yield Case(
        "bombs.cpu", "compute on and on",
        lambda _, limits: {"seconds": limits.cpu_s + 2} if limits.cpu_s else None,
    )  # fmt: skip


CASES: tuple[Case, ...] = (*_files(), *_network(), *_processes(), *_kernel(), *_bombs())
OUTLIVE = Case(
    "processes.outlive", "outlive the provider", alone=True, uncontrolled="a plain process's watchdog sees to it"
)


def run(
    make_provider: Callable[[], Provider], host: Host, limits: Limits, cases: Sequence[Case] = CASES
) -> Iterator[Result]:
    """Try every case against a provider's servers, and yield what came of each.

    Args:
        make_provider: Makes a provider, not started, of a server of `PROBE_ENV`; called more than once.
        host: What could be harmed.
        limits: What the provider allows.
        cases: What to try.
    """
    shared = [case for case in cases if not case.alone]
    with contextlib.ExitStack() as stack:
        provider = stack.enter_context(make_provider()) if shared else None
        for case in shared:
            assert provider is not None
            yield from _try(case, provider, host, limits)
    for case in (case for case in cases if case.alone):
        if case.arguments(host, limits) is not None:
            with make_provider() as provider:
                yield from _try(case, provider, host, limits)
    if cases is CASES:
        yield _outlive(make_provider, host)


def attempt(provider: Provider, probe: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Have a probe run by a provider's server, and return its `reached`, `error` and `detail`."""
    action = {"probe": probe, "arguments": dict(arguments), "budget_s": STEP_S}
    try:
        with httpx.Client(base_url=provider.base_url, timeout=STEP_S + 30, trust_env=False, verify=False) as client:
            client.post("/reset", json={}).raise_for_status()
            answer = client.post("/step", json={"action": action})
            answer.raise_for_status()
    except httpx.HTTPError as error:  # the server went down with it
        return {"reached": None, "error": "SERVER_LOST", "detail": f"{error}\n{provider.logs(5)}"}
    found: dict[str, Any] = answer.json()["observation"]
    return found


def _try(case: Case, provider: Provider, host: Host, limits: Limits) -> Iterator[Result]:
    arguments = case.arguments(host, limits)
    if arguments is None:
        return
    host.heard()
    found = attempt(provider, case.probe, arguments)
    escaped = case.harmed(host, found["reached"])
    detail = found["detail"] if found["reached"] is None else found["reached"]
    yield Result(case, escaped, found["error"], detail)


def _outlive(make_provider: Callable[[], Provider], host: Host) -> Result:
    marker = f"outlive-{secrets.token_hex(8)}"
    with make_provider() as provider:
        found = attempt(provider, OUTLIVE.probe, {"marker": marker})
        was_there = bool(host.processes_with(marker))
    left = host.processes_with(marker)
    return Result(OUTLIVE, bool(left), "ended with the provider" if was_there else found["error"], str(left))


def assert_held(results: Sequence[Result]) -> None:
    """Print what came of each attempt, and fail if one got out, or ended a server that others share."""
    for result in results:
        print(f"{result.case.name:60} {result}")
    assert len(results) > 20
    assert [f"{result.case.name}: {result.detail}" for result in results if result.escaped] == []
    assert [result.case.name for result in results if result.error == "SERVER_LOST" and not result.case.alone] == []
