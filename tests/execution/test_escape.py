"""What is tried from within an interpreter, and the proof that nothing came of it.

After each attempt the workspace has to answer, and what is outside of it has to be as it was. These go beyond the
escape suite, whose attempts are programs: here the code shares its process with the interpreter that runs it.
"""

import asyncio
import os
import secrets
import subprocess
import sys

import pytest

from openenv.execution import Limits, WarmFork

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="workspaces are of Linux"),
    pytest.mark.xdist_group("escape"),
]

LIMITS = Limits(timeout_s=2.0, memory_bytes=256 * 2**20, processes=32, disk_bytes=64 * 2**20, output_bytes=4096)

# Each is tried with `secret` replaced by the path of a file outside and `keeper` by a look for the process above.
READS = {
    "a file by its path": "print(open({secret!r}).read())",
    "a file by the loader of modules": """
from importlib.machinery import SourceFileLoader
print(SourceFileLoader('x', {secret!r}).get_data({secret!r}))""",
    "a file by introspection": """
for c in ().__class__.__base__.__subclasses__():
    if c.__name__ == 'FileLoader':
        print(c('x', {secret!r}).get_data({secret!r}))""",
    "a file by a link": "import os; os.symlink({secret!r}, 'l'); print(open('l').read())",
    "a file by a hard link": "import os; os.link({secret!r}, 'h'); print(open('h').read())",
    "a file by ctypes": """
import ctypes
c = ctypes.CDLL(None); b = ctypes.create_string_buffer(4096)
print(c.read(c.open({secret!r}.encode(), 0), b, 4096), b.value)""",
    "a file by the system call": """
import ctypes
c = ctypes.CDLL(None); b = ctypes.create_string_buffer(4096)
f = c.syscall(257, -100, {secret!r}.encode(), 0, 0)
print(c.syscall(0, f, b, 4096), b.value)""",
    "a file by a program": "import subprocess; print(subprocess.run(['cat', {secret!r}], capture_output=True))",
    "a file by mmap": "import mmap; f = open({secret!r}, 'rb'); print(mmap.mmap(f.fileno(), 0, prot=1)[:])",
    "a file by /proc/self/root": "print(open('/proc/self/root' + {secret!r}).read())",
    "a file by the root of the process above": "print(open(f'/proc/{{os.getppid()}}/root' + {secret!r}).read())",
    "a file by an inherited descriptor": """
import os
for n in range(3, 1024):
    try: print(os.readlink(f'/proc/self/fd/{{n}}'), os.read(os.open({secret!r}, 0, dir_fd=n), 4096))
    except OSError: pass""",
    "a file by debugging Python": "import sys; sys.settrace(None); print(open({secret!r}).read())",
    "the memory of the process above": """
for line in open(f'/proc/{{os.getppid()}}/maps'):
    a, b = (int(x, 16) for x in line.split()[0].split('-'))
    m = open(f'/proc/{{os.getppid()}}/mem', 'rb'); m.seek(a); print(m.read(b - a)[:99])""",
    "the environment of the process above": "print(open(f'/proc/{{os.getppid()}}/environ').read())",
    "the files that are open above": "print(os.listdir(f'/proc/{{os.getppid()}}/fd'))",
    "the packages that are installed": "import pytest; print(pytest.__file__)",
    "the source of the service": "import openenv; print(open(openenv.__file__).read())",
}


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text(f"secret-{secrets.token_hex(16)}")
    path.chmod(0o644)
    return path


async def _opened(**limits):
    return await WarmFork(Limits(**{**LIMITS.__dict__, **limits})).open()


@pytest.mark.parametrize("what", READS)
def test_nothing_outside_is_read(what, secret):
    async def tried():
        async with await _opened() as workspace:
            ran = await workspace.python("import os\n" + READS[what].format(secret=str(secret)))
            again = await workspace.python("print('here')")
            return ran, again

    ran, again = asyncio.run(tried())
    assert secret.read_text() not in ran.stdout + ran.stderr + (ran.value or "")
    assert (
        not ran.ok
        or ran.stdout.strip() in ("", "[]")
        or "Permission denied" in ran.stdout
        or "-1 b''" in ran.stdout
    )
    assert again.stdout == "here\n"


OUTSIDE = [what for what in READS if what.startswith("a file") and "above" not in what and "inherited" not in what]


@pytest.mark.parametrize("what", OUTSIDE)
def test_they_read_it_where_nothing_stops_them(what, secret, tmp_path):
    code = "import os\n" + READS[what].format(secret=str(secret))
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert secret.read_text() in ran.stdout, ran.stderr


CALLS = {
    "a socket of every family": """
import socket
opened = []
for family in range(1, 46):
    for kind in (1, 2, 3, 5):
        try: opened.append((family, kind, socket.socket(family, kind)))
        except OSError: pass
for family, kind, s in opened:
    try: s.connect(('127.0.0.1', 22)); print('REACHED', family, kind)
    except Exception: pass
    try: s.bind(('127.0.0.1', 0)); print('REACHED', family, kind)
    except Exception: pass
    try: s.sendto(b'x', ('127.0.0.1', 9)); print('REACHED', family, kind)
    except Exception: pass""",
    "a signal to the process above": "import os; os.kill(os.getppid(), 9); print('REACHED')",
    "a signal to the process group above": "import os; os.killpg(os.getpgid(os.getppid()), 9); print('REACHED')",
    "a signal by the system call": """
import ctypes, os
print('REACHED' if ctypes.CDLL(None).syscall(62, os.getppid(), 9) == 0 else 'no')""",
    "a signal by a descriptor": """
import os, signal
signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 9); print('REACHED')""",
    "to trace the process above": """
import ctypes, os
print('REACHED' if ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0 else 'no')""",
    "to write where others would run it": """
import os
for place in ('/tmp', '/var/tmp', '/dev/shm', '/usr/bin', os.path.expanduser('~root'), '/etc', '..', '/proc/self'):
    try: open(place + '/openenv-probe', 'w'); print('REACHED', place)
    except OSError: pass""",
    "to leave its limits": """
import resource
resource.setrlimit(resource.RLIMIT_NPROC, (10**6, 10**6)); print('REACHED')""",
    "to leave its control group": """
import os
for d, _, fs in os.walk('/sys/fs/cgroup'):
    if 'cgroup.procs' in fs:
        try: open(d + '/cgroup.procs', 'w').write(str(os.getpid())); print('REACHED')
        except OSError: pass""",
    "to become somebody else": "import os; os.setuid(1234); print('REACHED')",
    "namespaces of its own": """
import ctypes
print('REACHED' if ctypes.CDLL(None).unshare(0x10000000) == 0 else 'no')""",
    "a device": "print('REACHED', open('/dev/kmsg'))",
}


@pytest.mark.parametrize("what", CALLS)
def test_nothing_outside_is_reached(what):
    async def tried():
        async with await _opened() as workspace:
            ran = await workspace.python(CALLS[what])
            again = await workspace.python("print('here')")
            return ran, again

    ran, again = asyncio.run(tried())
    # Where it is a user of its own, `setuid` to another one fails; where it is root without rights, too.
    assert "REACHED" not in ran.stdout
    assert again.stdout == "here\n"


ENDS = {
    "a loop": "while True: pass",
    "a loop that catches everything": """
while True:
    try:
        while True: pass
    except BaseException: pass""",
    "a loop that ignores signals": "import signal; signal.signal(2, signal.SIG_IGN)\nwhile True: pass",
    "a loop in C": "sum(x for x in iter(int, 1))",
    "a loop in C that looks at no signals": "9 ** 9 ** 9",
    "a regular expression without end": "import re; re.match(r'(a+)+$', 'a' * 64 + 'b')",
    "a process that never ends": "import subprocess; subprocess.run(['sleep', '1000'])",
    "a stop": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "a reading of what never comes": "import os; os.read(os.pipe()[0], 1)",
    "a reading of the requests": "import os\nwhile True: os.read(3, 65536)",
    "forks": """
import os
while True:
    try: os.fork()
    except OSError: pass""",
    "forks in sessions of their own": """
import os
while True:
    try:
        if os.fork() == 0: os.setsid()
    except OSError: pass""",
    "output without end": "while True: print('x' * 65536)",
}


@pytest.mark.parametrize("what", ENDS)
def test_what_never_ends_is_ended(what):
    async def tried():
        async with await _opened(timeout_s=0.5) as workspace:
            ran = await workspace.python(ENDS[what])
            again = await workspace.python("print('here')", timeout_s=20)
            folder = workspace.folder
        return ran, again, folder

    ran, again, folder = asyncio.run(tried())
    assert ran.timed_out
    assert again.stdout == "here\n"
    assert not os.path.exists(folder)


DEATHS = {
    "an exit": ("import os; os._exit(7)", 7, None),
    "a segmentation fault": ("import ctypes; ctypes.string_at(0)", None, "SIGSEGV"),
    "an abort": ("import os; os.abort()", None, "SIGABRT"),
    "a kill of itself": ("import os; os.kill(os.getpid(), 9)", None, "SIGKILL"),
    "a kill of its group": ("import os; os.killpg(0, 9)", None, "SIGKILL"),
    "no answers any more": ("import os; os.close(4)", None, None),
    "nothing open any more": ("import os; os.closerange(0, 256)", None, None),
    "an answer that is none": ("import os; os.write(4, b'garbage' * 99)", None, "SIGKILL"),
    "an answer too long": ("import os, struct; os.write(4, struct.pack('!II', 2**31, 2**31))", None, "SIGKILL"),
    "another program": ("import os; os.execv('/bin/true', ['true'])", 0, None),
}


@pytest.mark.parametrize("what", DEATHS)
def test_the_end_of_an_interpreter_is_told_and_the_next_one_is_new(what):
    code, exit_code, signal = DEATHS[what]

    async def tried():
        async with await _opened() as workspace:
            await workspace.python("kept = 1")
            ran = await workspace.python(code)
            again = await workspace.python("print('kept' in globals())")
            return ran, again

    ran, again = asyncio.run(tried())
    assert ran.context_lost
    if signal is not None or exit_code is not None:
        assert (ran.exit_code, ran.signal) == (exit_code, signal)
    assert again.stdout == "False\n"


BOMBS = {
    "memory": ("x = []\nwhile True: x.append(bytearray(2**20))", "MemoryError"),
    "memory at once": ("x = bytearray(2**40)", "MemoryError"),
    "recursion": ("def f(): f()\nf()", "RecursionError"),
    "open files": ("import os\nx = [os.dup(1) for _ in range(10**6)]", "OSError"),
    "a large file": ("with open('f', 'wb') as f:\n    for _ in range(2**10): f.write(bytes(2**20))", "OSError"),
    "nesting": ("eval('(' * 10**5 + ')' * 10**5)", "Error"),
    "threads": ("import threading, time\nfor _ in range(10**4): threading.Timer(1, print).start()",
                "RuntimeError"),
}  # fmt: skip


@pytest.mark.parametrize("what", BOMBS)
def test_what_is_too_much_is_refused(what):
    code, error = BOMBS[what]

    async def tried():
        async with await _opened(timeout_s=20.0, file_bytes=8 * 2**20) as workspace:
            ran = await workspace.python(code)
            again = await workspace.python("print('here')")
            return ran, again

    ran, again = asyncio.run(tried())
    assert ran.signal in ("SIGKILL", "SIGXFSZ", "SIGSEGV") if ran.error is None else error in ran.error.type
    assert again.stdout == "here\n"


def test_what_fills_the_disk_is_ended():
    async def tried():
        async with await _opened(timeout_s=20.0) as workspace:
            ran = await workspace.python(
                "n = 0\nwhile True:\n    n += 1\n    open(f'f{n}', 'wb').write(bytes(2**20))\n"
            )
            await workspace.reset()
            again = await workspace.python("import os; print(os.listdir('.'))")
            return ran, again

    ran, again = asyncio.run(tried())
    assert (ran.killed_for, ran.context_lost) == ("disk", True)
    assert again.stdout == "[]\n"


def test_a_link_that_is_left_behind_leads_its_owner_nowhere(secret):
    async def tried():
        async with await _opened() as workspace:
            await workspace.python(f"import os; os.symlink({str(secret)!r}, 'answer'); os.symlink('/', 'all')")
            with pytest.raises(PermissionError):
                await workspace.read("answer")
            with pytest.raises(PermissionError):
                await workspace.write("answer", "overwritten")
            with pytest.raises(OSError, match="denied"):
                await workspace.names("all")
            packed = await workspace.pack()
            return packed

    assert secret.read_bytes() not in asyncio.run(tried())
    assert secret.read_text().startswith("secret-")


def test_the_work_folder_can_be_ruined_and_is_there_again():
    ruin = "import os, shutil\nshutil.rmtree('.', True)\ntry: os.rmdir(os.getcwd())\nexcept OSError: pass\n"

    async def tried():
        async with await _opened() as workspace:
            await workspace.python(ruin + "os.makedirs('/'.join('d' * 200)); os.chmod('.', 0)")
            after = await workspace.run(["pwd"])
            await workspace.reset()
            again = await workspace.python("print('here')")
            return after, again, workspace.folder

    after, again, folder = asyncio.run(tried())
    assert after.exit_code == 0
    assert again.stdout == "here\n"
    assert not os.path.exists(folder)


def test_two_workspaces_do_not_see_one_another():
    async def tried():
        async with await _opened() as one, await _opened() as other:
            await one.write("mine", "the secret of one")
            found = await other.python(f"print(open({one.folder + '/mine'!r}).read())")
            listed = await other.python(f"import os; print(os.listdir({one.folder!r}))")
            pid = (await one.python("import os; os.getpid()")).value
            killed = await other.python(f"import os; os.kill({pid}, 9)")
            alive = await one.python("print('here')")
            return found, listed, killed, alive

    found, listed, killed, alive = asyncio.run(tried())
    assert [ran.error.type for ran in (found, listed, killed)] == ["PermissionError"] * 3
    assert alive.stdout == "here\n"
    assert not alive.context_lost
