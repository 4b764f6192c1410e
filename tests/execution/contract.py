"""What every backend of workspaces promises, as tests to inherit: `class TestX(BackendContract)` with a fixture."""

import asyncio
import io
import secrets
import signal
import sys
import tarfile
import time
from pathlib import Path

import pytest

from openenv.errors import WorkspaceLostError
from openenv.execution import Backend, Limits, Workspace

LIMITS = Limits(
    timeout_s=20.0,
    memory_bytes=512 * 2**20,
    processes=40,
    files=256,
    file_bytes=8 * 2**20,
    disk_bytes=32 * 2**20,
    output_bytes=4096,
)
SLACK_S = 10.0
LONG_S = 600  # what is to be ended

# Every process that can be seen, whatever way: by a listing or by trying each id.
PROCESSES = """
import os
found = []
for pid in range(1, 40000):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            found.append(file.read())
    except OSError:
        pass
print(found)
"""


def processes_with(mark: str) -> list[int]:
    """Return the processes of this machine whose command line has a mark."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if mark.encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


async def until(met, bound_s=SLACK_S):
    """Wait until something is so."""
    async with asyncio.timeout(bound_s):
        while not met():
            await asyncio.sleep(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="workspaces are of Linux")
class BackendContract:
    """Inherit it, and have a fixture `backend` return one with `LIMITS`.

    A test opens its workspaces with `async with await backend.open()`.
    """

    # --- Python ----------------------------------------------------------------------------------

    async def test_python_keeps_its_variables(self, backend: Backend):
        async with await backend.open() as workspace:
            assert (await workspace.python("x = 6")).ok
            found = await workspace.python("import sys\nprint(x * 7)\nprint('no', file=sys.stderr)\nx * 8")
            assert (found.stdout, found.stderr, found.exit_code) == ("42\n", "no\n", 0)
            assert (found.value, found.is_plain) == ("48", True)
            assert found.peak_memory_bytes > 2**20

    async def test_an_error_is_told_and_the_variables_stay(self, backend: Backend):
        async with await backend.open() as workspace:
            found = await workspace.python("x = 1\n1 / 0")
            assert found.error is not None
            assert found.error.type == "ZeroDivisionError"
            assert (await workspace.python("print(x)")).stdout == "1\n"

    async def test_leaving_the_interpreter_loses_the_variables_and_nothing_else(self, backend: Backend):
        async with await backend.open() as workspace:
            found = await workspace.python("import os\nx = 1\nos._exit(3)")
            assert (found.exit_code, found.context_lost) == (3, True)
            found = await workspace.python("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
            assert (found.exit_code, found.signal) == (None, "SIGSEGV")
            assert (await workspace.python("print('x' in globals())")).stdout == "False\n"

    async def test_a_fork_that_goes_on_to_the_end_of_the_code_is_no_second_interpreter(self, backend: Backend):
        async with await backend.open() as workspace:
            assert (
                await workspace.python("import os\nchild = os.fork()\nif child: os.waitpid(child, 0)\n1")
            ).value == "1"
            for number in range(3):
                assert (await workspace.python(f"print({number})\n{number}")).value == str(number)

    async def test_it_calls_functions_of_the_host(self, backend: Backend):
        async def doubled(number: int) -> int:
            return 2 * number

        def refused() -> None:
            raise ValueError("not today")

        code = "print(doubled(21))\ntry:\n    refused()\nexcept RuntimeError as error:\n    print(error)"
        async with await backend.open() as workspace:
            found = await workspace.python(code, functions={"doubled": doubled, "refused": refused})
            assert found.stdout == "42\nValueError: not today\n"

    # --- programs --------------------------------------------------------------------------------

    async def test_programs_tell_their_exit_codes_and_signals(self, backend: Backend):
        async with await backend.open() as workspace:
            assert (await workspace.run("exit 7")).exit_code == 7
            assert (await workspace.run(["no-such-program"])).exit_code == 127
            killed = await workspace.run("kill -TERM $$")
            assert (killed.exit_code, killed.signal) == (None, signal.SIGTERM.name)
            read = await workspace.run(["cat"], stdin="in", env={"A": "b"})
            assert (read.stdout, read.exit_code) == ("in", 0)

    async def test_python_is_among_the_programs(self, backend: Backend):
        async with await backend.open() as workspace:
            found = await workspace.run(["python3", "-c", "import json, ssl, sqlite3; print(json.dumps([1]))"])
            assert (found.stdout, found.stderr) == ("[1]\n", "")

    async def test_the_middle_of_too_much_output_is_cut_with_a_note(self, backend: Backend):
        async with await backend.open() as workspace:
            found = await workspace.run("echo first; head -c 10000000 /dev/zero | tr '\\0' x; echo last")
            assert found.stdout.startswith("first\nxxx")
            assert found.stdout.endswith("xxx\n" if found.stdout.endswith("x\n") else "xlast\n")
            assert found.bytes_cut[0] == 10_000_011 - LIMITS.output_bytes
            assert f"{found.bytes_cut[0]:,} bytes were cut here" in found.stdout
            assert len(found.stdout) < LIMITS.output_bytes + 100

    async def test_output_is_told_as_it_comes(self, backend: Backend):
        heard: list[tuple[str, bytes]] = []
        async with await backend.open() as workspace:
            await workspace.run("echo out; echo err >&2", on_output=lambda *what: heard.append(what))
        assert sorted(heard) == [("stderr", b"err\n"), ("stdout", b"out\n")]

    async def test_a_shell_stays_where_it_went(self, backend: Backend):
        async with await backend.open() as workspace:
            assert (await workspace.shell("mkdir -p a && cd a && B=2")).exit_code == 0
            found = await workspace.shell('pwd; echo "$B"; false')
            assert found.stdout == f"{workspace.folder}/a\n2\n"
            assert found.exit_code == 1
            assert (await workspace.shell("echo $B", name="other")).stdout == "\n"
            reading = asyncio.create_task(workspace.shell("read line; echo got $line"))
            await workspace.send_keys("typed\n")
            assert "got typed" in (await reading).stdout

    # --- limits ----------------------------------------------------------------------------------

    @pytest.mark.parametrize("code", ["while True: pass", "import time\ntime.sleep(600)"])
    async def test_python_that_takes_too_long_is_interrupted_and_keeps_its_variables(self, backend: Backend, code):
        async with await backend.open() as workspace:
            await workspace.python("x = 5")
            found = await workspace.python(code, timeout_s=0.5)
            assert found.timed_out
            assert 0.5 <= found.seconds < 0.5 + SLACK_S
            assert (await workspace.python("print(x)")).stdout == "5\n"

    async def test_python_that_does_not_let_itself_be_interrupted_is_killed(self, backend: Backend):
        code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint(1, flush=True)\nwhile True: pass"
        async with await backend.open() as workspace:
            found = await workspace.python(code, timeout_s=0.5)
            assert (found.stdout, found.timed_out, found.context_lost) == ("1\n", True, True)
            assert (await workspace.python("print(2)")).stdout == "2\n"

    async def test_a_program_that_takes_too_long_is_killed_with_all_that_it_started(self, backend: Backend):
        mark = secrets.token_hex(8)
        line = f"setsid sh -c 'sleep {LONG_S}; : {mark}' & sleep {LONG_S}; : {mark}"
        async with await backend.open() as workspace:
            found = await workspace.run(line, timeout_s=0.5)
            assert (found.timed_out, found.signal) == (True, "SIGKILL")
            await until(lambda: not processes_with(mark))

    async def test_a_call_whose_caller_is_cancelled_is_ended(self, backend: Backend):
        mark = secrets.token_hex(8)
        async with await backend.open() as workspace:
            running = asyncio.create_task(workspace.run(f"sleep {LONG_S}; : {mark}"))
            await until(lambda: processes_with(mark))
            running.cancel()
            await until(lambda: not processes_with(mark))
            assert (await workspace.run("echo on")).stdout == "on\n"

    async def test_memory_is_limited(self, backend: Backend):
        async with await backend.open() as workspace:
            found = await workspace.python("x = bytearray(2 * 2**30)")
            assert not found.ok
            assert (await workspace.python("print(1)")).stdout == "1\n"

    async def test_processes_are_limited_and_the_workspace_goes_on(self, backend: Backend):
        code = """
import os, time
made = 0
try:
    while made < 2000:
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
        made += 1
except OSError as error:
    print(error.errno)
print(made)
"""
        async with await backend.open() as workspace:
            found = await workspace.run(["python3", "-c", code], timeout_s=LIMITS.timeout_s)
            lines = found.stdout.split()
            assert lines, found
            assert int(lines[-1]) < 2000, found
            assert (await workspace.run("echo on")).stdout == "on\n"
            assert (await workspace.python("print(1)")).stdout == "1\n"

    async def test_files_are_limited_in_size_and_in_sum(self, backend: Backend):
        async with await backend.open() as workspace:
            one = await workspace.run("head -c 20000000 /dev/zero > big")
            assert not one.ok
            assert len(await workspace.read("big")) <= LIMITS.file_bytes
            line = "for i in $(seq 400); do head -c 4000000 /dev/zero > f$i || exit 1; done; sleep 5"
            all_of_them = await workspace.run(line)
            assert not all_of_them.ok
            assert all_of_them.killed_for == "disk" or "No space left" in all_of_them.stderr, all_of_them
            await workspace.reset()
            assert (await workspace.run("echo on > file && cat file")).stdout == "on\n"

    # --- files -----------------------------------------------------------------------------------

    async def test_files_go_in_and_out(self, backend: Backend, tmp_path):
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "one").write_bytes(b"\0\xff1")
        async with await backend.open() as workspace:
            await workspace.write("a/b.txt", "text")
            await workspace.put(tmp_path, "there")
            assert await workspace.names() == ["a/", "there/"]
            assert (await workspace.run("cat a/b.txt && echo more >> a/b.txt")).stdout == "text"
            assert await workspace.read("a/b.txt") == b"textmore\n"
            assert await workspace.read("there/sub/one") == b"\0\xff1"
            with tarfile.open(fileobj=io.BytesIO(await workspace.pack("there"))) as archive:
                assert "./sub/one" in archive.getnames()
            await workspace.remove("there")
            assert await workspace.names() == ["a/"]
            with pytest.raises(OSError, match="No such file"):
                await workspace.read("missing")
            with pytest.raises(OSError):
                await workspace.read("/etc/shadow")

    async def test_changed_files_are_told(self, backend: Backend):
        async with await backend.open() as workspace:
            found = await workspace.run("mkdir d; echo 1 > d/one; echo 2 > two")
            assert found.files_changed == ("d/one", "two")
            assert (await workspace.run("rm two")).files_changed == ("two",)

    # --- apart -----------------------------------------------------------------------------------

    async def test_reset_leaves_nothing(self, backend: Backend):
        mark = secrets.token_hex(8)
        leave = f"""
import os, pathlib, subprocess
x = 1
for place in (".", os.environ["TMPDIR"], "/tmp", "/dev/shm", "/var/tmp", os.path.expanduser("~")):
    try:
        pathlib.Path(place, "{mark}").write_text("{mark}")
    except OSError:
        pass
subprocess.Popen(["sh", "-c", "sleep {LONG_S}; : {mark}"], start_new_session=True)
"""
        look = f"""
import os
found = [p for p in (".", os.environ["TMPDIR"], "/tmp", "/dev/shm", "/var/tmp") if os.path.exists(p + "/{mark}")]
print(found, "x" in globals())
"""
        async with await backend.open() as workspace:
            await workspace.python(leave)
            await workspace.shell("A=1")
            assert processes_with(mark)
            await workspace.reset()
            assert not processes_with(mark)
            assert await workspace.names() == []
            assert (await workspace.python(look)).stdout == "[] False\n"
            assert (await workspace.shell("echo $A")).stdout == "\n"

    async def test_memory_that_a_user_has_in_common_does_not_outlive_a_reset(self, backend: Backend):
        share = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.shmget(0x4F50454E, 4096, 0o1600), libc.mq_open(b"/openenv-left", 0o102, 0o600, None))
"""
        find = share.replace("0o1600", "0o600").replace("0o102", "0o2")
        async with await backend.open() as workspace:
            await workspace.python(share)
            await workspace.reset()
            assert (await workspace.python(find)).stdout == "-1 -1\n"

    async def test_workspaces_do_not_see_one_another(self, backend: Backend):
        mark = secrets.token_hex(8)
        async with await backend.open() as one, await backend.open() as other:
            await one.python(f"secret = '{mark}'\nopen('secret', 'w').write(secret)")
            path = f"{one.folder}/secret"
            running = asyncio.create_task(one.run(f"sleep {LONG_S}; : {mark}"))
            await until(lambda: processes_with(mark))
            assert (await one.run(["cat", path])).stdout == mark
            assert mark not in (await other.run(["cat", path])).stdout
            assert mark not in (await other.run("cat ../../*/work/secret /tmp/*/work/secret /dev/shm/*")).stdout
            assert mark not in (await other.python(PROCESSES, timeout_s=LIMITS.timeout_s)).stdout
            assert (await other.run("kill -9 -1")).signal in (None, "SIGKILL")
            for pid in processes_with(mark):
                await other.run(f"kill -9 {pid}")
            assert processes_with(mark)
            assert not running.done()
            assert (await one.python("print(secret)")).stdout == f"{mark}\n"
            running.cancel()

    async def test_there_is_no_network(self, backend: Backend):
        code = """
import socket
for kind, address in ((socket.SOCK_STREAM, ("127.0.0.1", %d)), (socket.SOCK_DGRAM, ("127.0.0.1", %d))):
    try:
        with socket.socket(socket.AF_INET, kind) as one:
            one.settimeout(5)
            one.connect(address)
            one.send(b"out")
            one.recv(1)
            print("reached")
    except OSError as error:
        print("refused")
"""
        server = await asyncio.start_server(lambda _, writer: writer.write(b"!"), "127.0.0.1", 0)
        async with server, await backend.open() as workspace:
            port = server.sockets[0].getsockname()[1]
            found = await workspace.python(code % (port, port))
            assert found.stdout == "refused\nrefused\n"

    # --- ends ------------------------------------------------------------------------------------

    async def test_close_leaves_no_process(self, backend: Backend):
        mark = secrets.token_hex(8)
        workspace = await backend.open()
        await workspace.python(f"import os\nos.environ['X'] = '{mark}'")
        await workspace.run(f"setsid nohup sh -c 'sleep {LONG_S}; : {mark}' > /dev/null 2>&1 &")
        await workspace.shell(f"python3 -c 'import time; time.sleep({LONG_S})' {mark} &")
        await until(lambda: processes_with(mark))
        await workspace.close()
        await workspace.close()
        await until(lambda: not processes_with(mark))
        with pytest.raises(WorkspaceLostError):
            await workspace.python("1")

    async def test_ten_at_once_read_back_their_own(self, backend: Backend):
        async def play(number: int) -> None:
            async with await backend.open() as workspace:
                await workspace.python(f"secret = {number}\nopen('f', 'w').write(str(secret))")
                for _ in range(3):
                    assert (await workspace.python("print(secret)")).stdout == f"{number}\n"
                    assert (await workspace.run("cat f | cat")).stdout == str(number)

        async with asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(play(number))

    async def test_what_ends_does_not_take_with_it_what_begins(self, backend: Backend):
        async with await backend.open() as workspace:
            for _ in range(4):
                found = await asyncio.gather(*(workspace.run(["true"]) for _ in range(12)))
                assert all(one.ok for one in found)

    async def test_its_layers_are_told(self, backend: Backend):
        assert "seccomp" in backend.layers.active
        async with await backend.open() as workspace:
            assert isinstance(workspace, Workspace)
            assert workspace.layers.active == backend.layers.active
            assert str(workspace.layers).startswith("held by ")

    async def test_a_call_answers_soon_after_its_time(self, backend: Backend):
        async with await backend.open() as workspace:
            start = time.monotonic()
            await workspace.run(f"sleep {LONG_S}", timeout_s=0.2)
            assert time.monotonic() - start < 0.2 + SLACK_S
