"""What the probes say, against what is found out without them.

Tests of a layer are skipped where its probe says that the machine has none of it: a probe that is broken would skip
them all, and nobody would hear of it. So each layer is tried here by hand, with nothing of the package, and what
can be had the probe has to find.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from openenv import containment
from openenv.containment import landlock, layers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the layers are Linux's")

PATIENCE_S = 60.0
LIMITS = {"memory.max": 2**29, "memory.limit_in_bytes": 2**29, "pids.max": 1000}
A_STRANGE_UID = 0x7FFF_FFF0  # above those that are given to sandboxes

LANDLOCK_VERSION = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
version = libc.syscall(444, None, ctypes.c_size_t(0), 1)
print(version if version >= 0 else os.strerror(ctypes.get_errno()))
"""
TAKE_A_FILTER = """
import ctypes, os
class Filter(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("k", ctypes.c_uint)]
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filters", ctypes.POINTER(Filter))]
libc = ctypes.CDLL(None, use_errno=True)
allow_all = Program(1, ctypes.pointer(Filter(6, 0, 0, 0x7FFF0000)))
for words in ((38, 1, 0, 0, 0), (22, 2, ctypes.byref(allow_all), 0, 0)):
    if libc.prctl(*words):
        raise SystemExit(os.strerror(ctypes.get_errno()))
"""
TAKE_A_UID = """
import os, sys
if os.geteuid():
    raise SystemExit("this is not root")
uid = int(sys.argv[1])
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
"""


def problem(*command):
    """Run a command; return None if it did what it should, else the last line of what it said."""
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    except OSError as error:
        return str(error)
    return None if ran.returncode == 0 else (ran.stderr.strip().splitlines() or ["it failed"])[-1]


def python(code, *arguments):
    return [sys.executable, "-I", "-S", "-c", code, *arguments]


def landlock_version():
    """Return the version as a number, or why there is none."""
    said = subprocess.run(
        python(LANDLOCK_VERSION), capture_output=True, text=True, timeout=PATIENCE_S
    ).stdout.strip()
    return int(said) if said.isdigit() else said


def no_landlock():
    version = landlock_version()
    if isinstance(version, str):
        return version
    return None if version >= 3 else f"it is of version {version}, which does not hold truncation"


def no_filters():
    return problem(*python(TAKE_A_FILTER))


def no_user_ids():
    return problem(*python(TAKE_A_UID, str(A_STRANGE_UID)))


def no_namespaces():
    """Try bubblewrap as root with user ids to give away, and as anybody else with a user namespace."""
    if absent := problem("bwrap", "--version"):
        return absent
    told = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, timeout=PATIENCE_S).stdout
    line = ["bwrap", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-net", "--ro-bind", "/", "/"]
    line += ["--proc", "/proc", "--dev", "/dev", "--cap-drop", "ALL"]
    if no_user_ids() is None:
        return problem(*line, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "true")
    version = tuple(map(int, told.split()[-1].split(".")))
    forbid_more = ["--disable-userns"] if version >= (0, 8) else []
    return problem(*line, "--unshare-user", *forbid_more, "true")


def no_control_groups():
    """Make a group for memory and processes, put a process into it, and remove it."""
    missing = [one for one in ("memory", "pids") if not any(takes_a_process(one, base) for base in bases(one))]
    return f"no group could be made for {' and '.join(missing)}" if missing else None


def bases(controller):
    """Yield the folders in which groups with a controller might be made, as told by the mounts."""
    own = {names: path for _, names, path in (line.split(":", 2) for line in lines("/proc/self/cgroup"))}
    for line in lines("/proc/self/mountinfo"):
        place, _, rest = line.partition(" - ")
        kind, _, options = rest.split()[:3]
        mount = Path(place.split()[4])
        if kind == "cgroup" and controller in options.split(","):
            path = next((path for names, path in own.items() if controller in names.split(",")), "/")
            inside = mount / path.lstrip("/")
            yield inside if os.path.isdir(inside) else mount  # it may be out of reach
        elif kind == "cgroup2":
            inside = mount / own.get("", "/").lstrip("/")
            yield from (folder for folder in (inside, inside.parent) if folder.is_relative_to(mount))


def takes_a_process(controller, base):
    folder = base / f"openenv-test-by-hand-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError:
        return False
    limits = [folder / name for name in LIMITS if name.startswith(controller) and (folder / name).exists()]
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as waiting:
        try:
            (folder / "cgroup.procs").write_text(str(waiting.pid))
            for file in limits:
                file.write_text(str(LIMITS[file.name]))
        except OSError:
            limits = []
    folder.rmdir()  # the process has ended with its input
    return bool(limits)


def lines(file):
    return Path(file).read_text().splitlines()


ABSENT = {
    "namespaces": no_namespaces,
    "landlock": no_landlock,
    "seccomp": no_filters,
    "uid": no_user_ids,
    "cgroup": no_control_groups,
    "rlimits": lambda: None,
}
"""For each layer, what returns None if this machine has it, else why not."""


@pytest.mark.parametrize("layer", layers.NAMES)
def test_what_the_machine_has_is_found(layer):
    reason = ABSENT[layer]()
    if reason is not None:
        pytest.skip(f"tried by hand, there is no {layer}: {reason}")
    assert containment.probe()[layer] is None


def test_the_version_of_landlock_is_that_of_the_kernel():
    version = landlock_version()
    assert landlock.abi() == (version if isinstance(version, int) else 0)


def test_a_kernel_that_lists_landlock_among_its_modules_has_it():
    listed = Path("/sys/kernel/security/lsm")
    if not listed.exists() or "landlock" not in listed.read_text().split(","):
        pytest.skip("no list of security modules names Landlock; it need not be mounted")
    if "Seccomp:\t0" not in lines("/proc/self/status"):
        pytest.skip("a filter around these tests may refuse it")
    assert landlock.abi() > 0
