"""What a workspace does with what it is given, beside being hard to get out of."""

import asyncio
import os
import sys
import time

import pytest

from openenv.errors import SnapshotUnsupportedError, WorkspaceLostError
from openenv.execution import Limits, WarmFork
from openenv.execution.inside import tree
from openenv.execution.workspace import MOST_CALLS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workspaces are of Linux")

LIMITS = Limits(timeout_s=20.0)
SLEEP = f"sleep 1{os.getpid():07}"
"""Tells the processes of this run from those of others."""


def in_workspace(use, **limits):
    """Return what an async function makes of a new workspace."""

    async def used():
        async with await WarmFork(Limits(**{**LIMITS.__dict__, **limits})).open() as workspace:
            return await use(workspace)

    return asyncio.run(used())


def python(*pieces, **limits):
    """Return what came of pieces of code, one after the other."""

    async def use(workspace):
        return [await workspace.python(piece) for piece in pieces]

    return in_workspace(use, **limits)


def test_variables_imports_and_files_stay_from_call_to_call():
    first, second, third = python(
        "import math; x = 6", "open('f', 'w').write(str(x * 7))", "print(math.pi > 3, open('f').read())"
    )
    assert first.ok
    assert first.value is None
    assert second.files_changed == ("f",)
    assert third.stdout == "True 42\n"
    assert third.files_changed == ()


def test_the_value_of_the_last_line_is_told_and_whether_it_is_a_literal():
    plain, made, none = python("[1, 'a', {2: (None, 3.5)}]", "class A: pass\nA()", "None")
    assert (plain.value, plain.is_plain) == ("[1, 'a', {2: (None, 3.5)}]", True)
    assert made.value.startswith("<__main__.A object")
    assert not made.is_plain
    assert none.value is None


def test_a_value_that_only_looks_like_a_literal_is_not_plain():
    [forged] = python("class Ten(int):\n    def __repr__(self): return '10'\nTen(3)")
    assert (forged.value, forged.is_plain) == ("10", False)


def test_an_exception_is_told_as_an_interpreter_does():
    [ran] = python("def f():\n    return 1 / 0\nf()")
    assert (ran.exit_code, ran.error.type, ran.error.message) == (1, "ZeroDivisionError", "division by zero")
    assert ran.stderr == ran.error.traceback
    assert 'File "<step 1>", line 2, in f\n    return 1 / 0' in ran.stderr
    assert "openenv" not in ran.stderr


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("print(", "SyntaxError"),
        ("x = 'a\0b'", ("SyntaxError", "ValueError")),
        ("\ud800", ("UnicodeDecodeError", "SyntaxError")),
        ("raise type('Odd', (Exception,), {'__str__': lambda s: 1 / 0})", "Odd"),
        ("raise type('Odd', (BaseException,), {'__str__': lambda s: exit(0)})", "Odd"),
        ("import sys; sys.stdout = None; print('lost'); sys.stderr = 7; 1 / 0", "ZeroDivisionError"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise ExceptionGroup('two', [ValueError(1), TypeError(2)])", "ExceptionGroup"),
    ],
)
def test_code_that_is_no_code_or_raises_oddly_is_an_error_and_the_interpreter_goes_on(code, error):
    ran, again = python(code, "print('here')" if "sys.stdout" not in code else "1")
    assert ran.error.type in ((error,) if isinstance(error, str) else error)
    assert ran.exit_code == 1
    assert not again.context_lost


@pytest.mark.parametrize(("leaving", "code"), [("3", 3), ("", 0), ("'a message'", 1), ("256 + 7", 7)])
def test_leaving_is_an_exit_code_and_the_variables_stay(leaving, code):
    ran, again = python(f"x = 1; import sys; sys.exit({leaving})", "print(x)")
    assert ran.exit_code == code
    assert again.stdout == "1\n"


def test_output_is_cut_in_the_middle_with_a_note():
    [ran] = python("print('a' * 5000 + 'z' * 5000)", output_bytes=1000)
    assert ran.stdout == "a" * 500 + "\n[... 9,001 bytes were cut here ...]\n" + "z" * 499 + "\n"
    assert ran.bytes_cut == (9001, 0)


def test_a_flood_of_output_is_read_and_dropped():
    [ran] = python("import os\nb = b'x' * 2**20\nfor _ in range(256): os.write(1, b)")
    assert ran.ok
    assert ran.bytes_cut[0] == 256 * 2**20 - LIMITS.output_bytes


def test_output_that_is_no_text_is_shown_as_far_as_it_is():
    [ran] = python("import os; os.write(1, b'\\xff\\x00ok\\n')")
    assert ran.stdout == "\ufffd\0ok\n"


def test_ten_megabytes_of_source_are_run():
    [ran] = python("x = '" + "a" * 10_000_000 + "'\nprint(len(x))")
    assert ran.stdout == "10000000\n"


def test_output_comes_as_it_is_written():
    async def use(workspace):
        seen, first = [], asyncio.Event()

        def told(stream, data):
            seen.append((stream, data))
            first.set()

        code = "import sys, os\nprint('one')\nwhile not os.path.exists('go'): pass\nprint('two', file=sys.stderr)"
        running = asyncio.ensure_future(workspace.python(code, on_output=told))
        async with asyncio.timeout(20):
            await first.wait()
        assert seen == [("stdout", b"one\n")]
        await workspace.write("go", "")
        ran = await running
        return seen, ran

    seen, ran = in_workspace(use)
    assert seen[1:] == [("stderr", b"two\n")]
    assert (ran.stdout, ran.stderr) == ("one\n", "two\n")


def test_what_runs_out_of_time_is_interrupted_and_keeps_its_variables():
    async def use(workspace):
        await workspace.python("x = 1")
        late = await workspace.python("x = 2\nwhile True: pass", timeout_s=0.2)
        return late, await workspace.python("print(x)")

    late, after = in_workspace(use)
    assert late.timed_out
    assert late.error.type == "KeyboardInterrupt"
    assert after.stdout == "2\n"


def test_an_interpreter_that_ends_while_nobody_waits_is_told_the_next_time():
    async def use(workspace):
        ran = await workspace.python(
            "import os, threading; threading.Timer(0.05, os._exit, (3,)).start(); os.getpid()"
        )
        end = time.monotonic() + 20
        while _command(int(ran.value)):
            assert time.monotonic() < end
        return await workspace.python("1"), await workspace.python("'threading' in globals()")

    after, again = in_workspace(use)
    assert after.context_lost  # it may have been just about to end
    assert (again.value, again.context_lost) == ("False", False)


def test_whoever_is_cancelled_ends_what_was_started():
    async def use(workspace):
        running = asyncio.ensure_future(workspace.python("open('up', 'w')\nwhile True: pass"))
        async with asyncio.timeout(20):
            while "up" not in await workspace.names():
                pass
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return await workspace.python("print('x' in globals())")

    assert in_workspace(use).stdout == "False\n"


def test_functions_of_the_host_are_called_with_plain_values():
    async def double(value, *, plus=0):
        return [value * 2, plus]

    def fail():
        raise ValueError("no")

    async def use(workspace):
        functions = {"double": double, "fail": fail}
        good = await workspace.python("print(double(4, plus=1))", functions=functions)
        bad = await workspace.python("try: fail()\nexcept RuntimeError as e: print(e)", functions=functions)
        odd = await workspace.python("double(object())", functions=functions)
        gone = await workspace.python("print(double(1))")
        return good, bad, odd, gone

    good, bad, odd, gone = in_workspace(use)
    assert good.stdout == "[8, 1]\n"
    assert bad.stdout == "ValueError: no\n"
    assert odd.error.type == "TypeError"
    assert gone.error.type == "RuntimeError"
    assert "there is no function 'double'" in gone.error.message


def test_an_answer_that_comes_after_its_call_was_interrupted_is_nobodys():
    code = """
import signal
def interrupt(*_): raise TimeoutError
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.05)
try: slow()
except TimeoutError: print(fast())
"""

    async def use(workspace):
        gate = asyncio.Event()

        async def slow():
            await gate.wait()
            return "slow"

        async def fast():
            gate.set()
            for _ in range(9):  # the other answer goes first
                await asyncio.sleep(0)
            return "fast"

        functions = {"slow": slow, "fast": fast}
        return await workspace.python(code, functions=functions), await workspace.python("print('next')")

    first, second = in_workspace(use)
    assert first.stdout == "fast\n"
    assert second.stdout == "next\n"


def test_code_that_forges_calls_has_no_more_than_a_bounded_number_of_them_under_way():
    forge = """
import json, os, struct
header = json.dumps({"call": "slow", "number": 0, "args": [], "kwargs": {}}).encode()
for _ in range(500): os.write(4, struct.pack("!II", len(header), 0) + header)
"""

    async def use(workspace):
        running = most = 0

        async def slow():
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                await asyncio.sleep(30)
            finally:
                running -= 1

        await workspace.python(forge, functions={"slow": slow})
        await workspace.python("1")
        return most, running

    most, left = in_workspace(use)
    assert 0 < most <= MOST_CALLS
    assert left == 0


def test_what_cannot_be_held_is_not_run_and_is_no_answer(monkeypatch):
    configuration = WarmFork._configuration

    def without_a_group(backend, holding):
        return {**configuration(backend, holding), "groups": ["/nonexistent"]}

    monkeypatch.setattr(WarmFork, "_configuration", without_a_group)

    async def use(workspace):
        for started in (workspace.python("1"), workspace.run("true"), workspace.shell("true"), workspace.names()):
            with pytest.raises(WorkspaceLostError, match="could not be held: FileNotFoundError"):
                await started

    in_workspace(use)


def test_a_program_in_a_folder_that_is_not_there_has_an_exit_code():
    ran = in_workspace(lambda workspace: workspace.run("true", folder="nowhere"))
    assert (ran.exit_code, "No such file or directory" in ran.stderr) == (127, True)


def test_names_of_files_are_told_as_they_are():
    async def use(workspace):
        await workspace.write("\U0001f40d \u00e9.txt", "")
        return await workspace.names()

    assert in_workspace(use) == ["\U0001f40d \u00e9.txt"]


def test_programs_have_input_variables_a_folder_and_an_exit_code():
    async def use(workspace):
        await workspace.write("d/f", "in a folder")
        return await workspace.run("cat; cat f; echo $X; exit 7", stdin="typed ", env={"X": "variable"}, folder="d")

    ran = in_workspace(use)
    assert (ran.stdout, ran.exit_code) == ("typed in a foldervariable\n", 7)


@pytest.mark.parametrize(("command", "code"), [(["nosuchprogram"], 127), (["/etc/hosts"], 126), (["true"], 0)])
def test_a_program_that_cannot_be_run_has_an_exit_code_too(command, code):
    assert in_workspace(lambda workspace: workspace.run(command)).exit_code == code


def test_nothing_that_a_program_started_goes_on_after_it():
    async def use(workspace):
        await workspace.run(f"(setsid {SLEEP} &) ; {SLEEP} & disown")
        return _sleeping()

    assert in_workspace(use) == []


def test_a_shell_keeps_its_folder_its_variables_and_its_background_programs():
    async def use(workspace):
        await workspace.shell("mkdir d; cd d; X=1; sleep 1000 &")
        ran = await workspace.shell("pwd; echo $X; jobs -r | wc -l; (exit 3)")
        status = await workspace.shell("echo $?")
        other = await workspace.shell("echo [$X]; tty -s && echo terminal", name="other")
        return ran, status, other, workspace.folder

    ran, status, other, folder = in_workspace(use)
    assert ran.stdout == f"{folder}/d\n1\n1\n"
    assert ran.exit_code == 3
    assert status.stdout == "3\n"
    assert other.stdout == "[]\nterminal\n"


def test_a_shell_survives_what_never_ends():
    async def use(workspace):
        await workspace.shell("X=1")
        late = [await workspace.shell(line, timeout_s=0.3) for line in ("cat", "sleep 1000", "while :; do :; done")]
        return late, await workspace.shell("echo $X")

    late, after = in_workspace(use)
    assert [(ran.timed_out, ran.exit_code, ran.context_lost) for ran in late] == [(True, 130, False)] * 3
    assert after.stdout == "1\n"


def test_what_is_typed_reaches_the_program_that_runs():
    async def use(workspace):
        running = asyncio.ensure_future(workspace.shell("> up; read -r line; echo got $line"))
        async with asyncio.timeout(20):
            while "up" not in await workspace.names():
                pass
        await workspace.send_keys("hello\n")
        return await running

    assert in_workspace(use).stdout == "hello\ngot hello\n"


def test_a_shell_that_is_left_is_a_new_one_next_time():
    async def use(workspace):
        return await workspace.shell("X=1; exit 4"), await workspace.shell("echo [$X]")

    left, after = in_workspace(use)
    assert (left.exit_code, left.context_lost) == (4, True)
    assert after.stdout == "[]\n"


def test_files_go_in_and_out(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_bytes(b"\x00\xff")

    async def use(workspace):
        await workspace.put(tmp_path, "copied")
        names = await workspace.names("copied"), await workspace.names("copied/sub")
        data = await workspace.read("copied/sub/file")
        await workspace.remove("copied")
        with pytest.raises(FileNotFoundError):
            await workspace.read("copied/sub/file")
        with pytest.raises(OSError, match=r"no regular file|Is a directory"):
            await workspace.read(".")
        await workspace.write("large", bytes(1000))
        with pytest.raises(OSError, match="more than 10 bytes"):
            await workspace.read("large", most_bytes=10)
        return names, data

    assert in_workspace(use) == ((["sub/"], ["file"]), b"\x00\xff")


def test_a_reset_leaves_nothing():
    async def use(workspace):
        await workspace.python("x = 1; open('f', 'w')")
        await workspace.shell(f"X=1; {SLEEP} &")
        await workspace.reset()
        left = _sleeping()
        ran = await workspace.python("print('x' in globals())")
        return left, ran, await workspace.names(), await workspace.shell("echo [$X]")

    left, ran, names, shell = in_workspace(use)
    assert (left, ran.stdout, names, shell.stdout) == ([], "False\n", [], "[]\n")


def test_nothing_is_left_of_a_workspace_that_was_closed():
    async def use():
        workspace = await WarmFork(LIMITS).open()
        pid = int((await workspace.python("import os; os.getpid()")).value)
        folder = workspace.folder
        await workspace.close()
        await workspace.close()
        with pytest.raises(WorkspaceLostError):
            await workspace.python("1")
        return pid, folder

    pid, folder = asyncio.run(use())
    assert not os.path.exists(folder)
    assert not os.path.exists(f"/proc/{pid}")


def test_a_keeper_that_is_killed_is_told_and_leaves_no_processes():
    async def use():
        workspace = await WarmFork(LIMITS).open()
        keeper = int((await workspace.python("import os; os.getppid()")).value)
        running = asyncio.ensure_future(workspace.shell(f"setsid {SLEEP}; {SLEEP}"))
        while not _sleeping():
            await asyncio.sleep(0)
        os.kill(keeper, 9)
        with pytest.raises(WorkspaceLostError):
            await running
        folder = workspace.folder
        await workspace.close()
        return folder

    assert not os.path.exists(os.path.dirname(asyncio.run(use())))
    deadline = time.monotonic() + 20
    while left := _sleeping():
        assert time.monotonic() < deadline, left


def test_a_worker_that_holds_a_workspace_is_not_forked():
    from openenv.server.worker.forking import _refuse_what_would_be_lost

    async def use(workspace):
        with pytest.raises(SnapshotUnsupportedError, match="a workspace for an agent's programs"):
            _refuse_what_would_be_lost(None)

    in_workspace(use)


def test_many_workspaces_at_once_each_have_their_own_secret():
    async def use():
        backend = WarmFork(LIMITS)

        async def one(number):
            async with await backend.open() as workspace:
                await workspace.python(f"secret = {number}")
                return [(await workspace.python("secret += 1000; secret")).value for _ in range(3)]

        return await asyncio.gather(*(one(number) for number in range(24)))

    assert asyncio.run(use()) == [[str(n + 1000), str(n + 2000), str(n + 3000)] for n in range(24)]


def _command(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _sleeping():
    return [one.pid for one in tree.processes() if _command(one.pid).startswith(SLEEP) and not one.dead]
