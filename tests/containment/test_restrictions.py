"""Each layer by itself, applied in a fork and through the entry."""

import errno
import json
import os
import socket
import subprocess
import sys
import traceback

import pytest

from openenv import containment
from openenv.containment import Restrictions, landlock, seccomp
from openenv.containment.restrictions import EXIT_UNRESTRICTED

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the layers are Linux's")
ABSENT = containment.probe()
landlocked = pytest.mark.skipif(ABSENT["landlock"] is not None, reason=f"no Landlock: {ABSENT['landlock']}")
filtered = pytest.mark.skipif(ABSENT["seccomp"] is not None, reason=f"no seccomp: {ABSENT['seccomp']}")


@pytest.fixture
def inside():
    """Runs a function in a fork that has restricted itself, and returns what it returned."""

    def run(restrictions, function):
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                restrictions.apply()
                os.write(tell, json.dumps(function()).encode())
            except BaseException:
                os.write(tell, json.dumps(traceback.format_exc()[-1500:]).encode())
            os._exit(0)
        os.close(tell)
        with os.fdopen(told) as answer:
            found = json.loads(answer.read())
        os.waitpid(child, 0)
        return found

    return run


def outcome(function, *arguments, **options):
    """Return `done`, or the name of the error."""
    try:
        found = function(*arguments, **options)
    except OSError as error:
        return errno.errorcode[error.errno]
    if hasattr(found, "close"):
        found.close()
    return "done"


@landlocked
def test_landlock_leaves_the_files_that_are_named(inside, tmp_path):
    readable, writable, other = (tmp_path / name for name in ("readable", "writable", "other"))
    for folder in (readable, writable, other):
        folder.mkdir()
        (folder / "file").write_text("x")

    def look():
        places = {"readable": readable, "writable": writable, "other": other}
        return {
            name: [
                outcome(open, place / "file"),
                outcome(open, place / "new", "w"),
                outcome(os.truncate, place / "file", 0),
            ]
            for name, place in places.items()
        }

    assert inside(Restrictions(read=(str(readable),), write=(str(writable),)), look) == {
        "readable": ["done", "EACCES", "EACCES"],
        "writable": ["done", "done", "done"],
        "other": ["EACCES", "EACCES", "EACCES"],
    }


@pytest.mark.skipif(landlock.abi() < landlock.NETWORK, reason="Landlock of this kernel does not hold TCP")
def test_landlock_refuses_connections_even_by_a_listening_socket(inside):
    import ctypes
    import struct

    with socket.create_server(("127.0.0.1", 0)) as service, socket.create_server(("127.0.0.1", 0)) as handed_in:

        def reconnect():
            ctypes.CDLL(None).connect(handed_in.fileno(), struct.pack("=H14x", socket.AF_UNSPEC), 16)
            handed_in.connect(service.getsockname())

        assert inside(Restrictions(), lambda: outcome(reconnect)) == "done"
        assert inside(Restrictions(connect=False), lambda: outcome(reconnect)) == "EACCES"


@pytest.mark.skipif(landlock.abi() < landlock.SCOPES, reason="Landlock of this kernel has no scopes")
def test_landlock_keeps_signals_inside(inside):
    parent = os.getpid()
    assert inside(Restrictions(scoped=True), lambda: outcome(os.kill, parent, 0)) == "EPERM"
    assert inside(Restrictions(scoped=True), lambda: outcome(os.kill, os.getpid(), 0)) == "done"


def test_landlock_refuses_what_the_kernel_does_not_know(monkeypatch):
    monkeypatch.setattr(landlock, "abi", lambda: 3)
    with pytest.raises(OSError, match="version 3; 4 is needed"):
        landlock.restrict(connect=False)
    with pytest.raises(OSError, match="version 3; 6 is needed"):
        landlock.restrict(scoped=True)


UDP = (socket.AF_INET, socket.SOCK_DGRAM)
TCP = (socket.AF_INET, socket.SOCK_STREAM)


@filtered
def test_seccomp_refuses_what_is_set_to_false_and_nothing_else(inside):
    def sockets():
        found = [outcome(socket.socket, *UDP), outcome(socket.socket, *TCP), outcome(socket.socket, socket.AF_UNIX)]
        return [*found, outcome(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW), outcome(socket.socket, 38)]

    def sockets_with(**refused):
        return inside(Restrictions(refused=refused), sockets)

    assert sockets_with(network=False) == ["EPERM", "done", "done", "EAFNOSUPPORT", "EAFNOSUPPORT"]
    assert sockets_with(network=True) == ["done", "done", "done", "done", "EAFNOSUPPORT"]
    assert sockets_with(unix_sockets=False)[2] == "EAFNOSUPPORT"


@filtered
def test_seccomp_without_unix_sockets_still_has_connected_pairs(inside):
    def pairs():
        return [outcome(lambda: [one.close() for one in socket.socketpair(type=kind)]) for kind in (1, 2)]

    assert inside(Restrictions(refused={"unix_sockets": False}), pairs) == ["done", "EPERM"]


@filtered
def test_seccomp_refuses_connections_signals_and_metadata(inside, tmp_path):
    parent = os.getpid()

    def tries():
        with socket.socket() as one:
            return [
                outcome(one.connect, ("127.0.0.1", 9)),
                outcome(os.kill, parent, 0),
                outcome(os.kill, 0, 0),
                outcome(os.chmod, tmp_path, 0o700),
            ]

    refused = {"connect": False, "signals": False, "metadata": False}
    assert inside(Restrictions(refused=refused), tries) == ["EACCES", "EPERM", "done", "EPERM"]


@filtered
def test_seccomp_refuses_to_touch_others_and_lets_a_process_touch_itself(inside):
    import resource

    parent = os.getpid()

    def tries():
        limit = resource.getrlimit(resource.RLIMIT_CORE)
        return [
            outcome(resource.prlimit, parent, resource.RLIMIT_CORE, limit),
            outcome(resource.setrlimit, resource.RLIMIT_CORE, limit),
            outcome(os.setpriority, os.PRIO_PROCESS, parent, 0),
            outcome(os.setpriority, os.PRIO_USER, 0, 0),
            outcome(os.setpriority, os.PRIO_PROCESS, 0, 0),
        ]

    assert inside(Restrictions(refused={"others": False}), tries) == ["EPERM", "done", "EPERM", "EPERM", "done"]


@filtered
def test_seccomp_leaves_processes_and_threads_alone(inside):
    def ordinary():
        import threading

        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
        return subprocess.run(
            [sys.executable, "-I", "-S", "-c", "print(7 * 6)"], capture_output=True, text=True
        ).stdout

    assert inside(Restrictions(refused={}), ordinary) == "42\n"


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_a_program_is_within_the_limits_of_the_machine_and_jumps_stay_inside(architecture):
    every = dict.fromkeys(("network", "connect", "unix_sockets", "signals", "metadata", "others", "surface"), False)
    code = seccomp.program(seccomp.refusals(**every), architecture)
    count = len(code) // 8
    assert count < 4096
    for index in range(count):
        operation, if_true, if_false = (
            int.from_bytes(code[8 * index : 8 * index + 2], "little"),
            *code[8 * index + 2 :][:2],
        )
        if operation in (0x15, 0x35):
            assert index + 1 + max(if_true, if_false) < count


@filtered
@pytest.mark.parametrize("name", ["unshare", "clone3", "io_uring_setup", "keyctl"])
def test_seccomp_refuses_the_kernel_surface(inside, name):
    from openenv.containment.kernel import machine, syscall

    number = seccomp.NUMBERS[name][machine() == "aarch64"]
    assert inside(Restrictions(refused={}), lambda: outcome(syscall, number, 0, 0)) in ("EPERM", "ENOSYS")


@filtered
def test_without_a_network_there_is_no_ring_that_could_make_one(inside):
    from openenv.containment.kernel import syscall

    only_the_network = Restrictions(refused={"connect": True, "surface": True})
    assert inside(only_the_network, lambda: outcome(syscall, 425, 1, b"\0" * 120)) == "EPERM"


def test_limits_are_lowered_and_never_raised(inside):
    import resource

    def limits():
        return resource.getrlimit(resource.RLIMIT_NOFILE)

    assert inside(Restrictions(limits={"files": 77}), limits) == [77, 77]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert inside(Restrictions(limits={"files": 2**40}), limits)[1] == hard


@pytest.mark.skipif(ABSENT["uid"] is not None, reason=f"no user ids: {ABSENT['uid']}")
def test_a_user_id_of_its_own_leaves_nothing_of_root(inside):
    def who():
        return [os.getresuid(), os.getresgid(), os.getgroups(), outcome(os.setuid, 0), outcome(open, "/etc/shadow")]

    uid = 0x7000_0007
    assert inside(Restrictions(uid=uid), who) == [[uid] * 3, [uid] * 3, [], "EPERM", "EACCES"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to give up")
def test_capabilities_do_not_come_back_with_another_program(inside):
    def after():
        told = subprocess.run(["/usr/bin/grep", "CapEff", "/proc/self/status"], capture_output=True, text=True)
        return told.stdout.split()[1]

    assert int(inside(Restrictions(unprivileged=True), after), 16) == 0


def test_restrictions_have_a_json_form():
    restrictions = Restrictions(
        limits={"files": 5}, read=("/usr",), connect=False, refused={"network": True}, uid=7
    )
    assert Restrictions.from_json(restrictions.to_json()) == restrictions


# --- the entry ---------------------------------------------------------------------------------------


def entry(*arguments):
    command = [sys.executable, "-m", "openenv.containment", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@filtered
def test_the_entry_restricts_and_runs_a_command():
    code = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"
    ran = entry(Restrictions(refused={}).to_json(), "--", sys.executable, "-I", "-S", "-c", code)
    assert "PermissionError" in ran.stderr


@pytest.mark.parametrize(
    "text", ['{"limits": {"none": 1}}', "not JSON", '{"unknown": 1}', '{"limits": {"files": "x"}}']
)
def test_the_entry_runs_nothing_if_a_restriction_fails(text):
    ran = entry(text, "--", "/bin/echo", "it runs")
    assert (ran.returncode, ran.stdout) == (EXIT_UNRESTRICTED, "")
    assert "could not be applied" in ran.stderr


def test_the_entry_names_a_command_that_is_not_there():
    ran = entry(Restrictions().to_json(), "--", "/no/such/command")
    assert ran.returncode == 127
    assert "/no/such/command cannot be run" in ran.stderr
