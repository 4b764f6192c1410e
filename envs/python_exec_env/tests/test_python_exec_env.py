"""What python_exec_env promises: the contract of every environment, and programs that run for real."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from openenv.errors import InvalidRequestError, IsolationError, NotResetError, SerializationError
from openenv.execution import Workspace
from openenv.models import StepResult
from openenv.providers import ProcessProvider, SandboxProvider
from openenv.testing import EnvironmentContract, EnvironmentMemoryContract, LocalServer
from python_exec_env import PyExecEnv, PyExecObservation, ResetAction, RunCodeAction
from python_exec_env.policies import MAX_RETURN, MIN_RETURN, null, oracle
from python_exec_env.server.python_exec_environment import MAX_STEPS, PythonExecEnvironment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workspaces are of Linux")

KEPT_BYTES = 256 * 1024


class TestContract(EnvironmentContract):
    environment = PythonExecEnvironment
    actions = (RunCodeAction(code="print('hi')"), RunCodeAction(code="1 / 0"), ResetAction())
    bad_actions = (
        {"code": 5},
        {"code": "1", "timeout_seconds": 0},
        {"code": "1", "timeout_seconds": 601},
        {"code": "1", "shell": True},
        {"timeout_seconds": 1},
    )
    volatile = ("execution_time_ms",)
    steps = 2

    def choose_action(self, step: int, result: StepResult) -> RunCodeAction:
        return RunCodeAction(code=f"open('{step}', 'w').close(); print({{'some', 'set', 'of', 'words'}})")


@pytest.mark.slow
class TestMemory(EnvironmentMemoryContract):
    environment = PythonExecEnvironment
    actions = (RunCodeAction(code="print('hi')"),)
    steps = 1
    episodes = 500
    patience_s = 300


def play(*programs: str, timeout: float = 30.0) -> list[StepResult]:
    """Run programs one after the other in one episode."""

    async def episode() -> list[StepResult]:
        environment = PythonExecEnvironment()
        await environment.reset()
        try:
            actions = [RunCodeAction(code=code, timeout_seconds=timeout) for code in programs]
            return [await environment.step(action) for action in actions]
        finally:
            await environment.close()

    return asyncio.run(episode())


def run(code: str, timeout: float = 30.0) -> PyExecObservation:
    (result,) = play(code, timeout=timeout)
    return result.observation


# --- what a program writes, and how it ends ----------------------------------------------------------


def test_what_a_program_writes_and_how_it_exits_is_seen():
    seen = run("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert (seen.stdout, seen.stderr, seen.exit_code, seen.timed_out) == ("out\n", "err\n", 3, False)
    assert seen.execution_time_ms > 0


@pytest.mark.parametrize(
    ("code", "exit_code", "reward"),
    [
        ("pass", 0, 1.0),
        ("", 0, 1.0),
        ("raise SystemExit(0)", 0, 1.0),
        ("1 / 0", 1, -0.5),
        ("raise SystemExit(255)", 255, -0.5),
        ("import os; os._exit(7)", 7, -0.5),
        ("import ctypes; ctypes.string_at(0)", -11, -0.5),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, -0.5),
        ("import os, signal; os.killpg(0, signal.SIGTERM)", -15, -0.5),
    ],
)
def test_the_exit_code_earns_the_reward(code, exit_code, reward):
    (result,) = play(code)
    assert (result.observation.exit_code, result.reward) == (exit_code, reward)


def test_a_hangup_signal_is_an_error_and_not_a_timeout():
    # The signal may be ignored where the tests run, under nohup for one, and that is inherited.
    (result,) = play("import os, signal; signal.signal(1, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGHUP)")
    assert (result.observation.exit_code, result.observation.timed_out, result.reward) == (-1, False, -0.5)


@pytest.mark.parametrize(
    ("code", "told"),
    [("print(", "SyntaxError"), ("\N{SNOWMAN}", "invalid character"), ("'\udc80'", "SyntaxError")],
)
def test_code_that_is_no_python_is_an_error_of_the_program(code, told):
    (result,) = play(code)
    assert (result.observation.exit_code, result.reward) == (1, -0.5)
    assert told in result.observation.stderr


def test_what_nul_bytes_mean_is_for_the_interpreter_to_say():
    first, second = play("x = 1\0", "print('fine')")  # older releases stop reading there, newer ones complain
    assert first.reward == (-0.5 if first.observation.exit_code else 1.0)
    assert second.observation.stdout == "fine\n"


def test_half_a_character_does_not_get_over_the_wire():
    async def main() -> None:
        async with LocalServer(PythonExecEnvironment) as server, server.client(PyExecEnv) as env:
            await env.reset()
            with pytest.raises(SerializationError):
                await env.step(RunCodeAction(code="'\udc80'"))
            with pytest.raises(InvalidRequestError):
                server.codec.decode(r'{"type": "step", "data": {"code": "\udc80"}}')
            assert (await env.state()).step_count == 0

    asyncio.run(main())


def test_output_in_any_encoding_is_seen():
    assert run("print('\N{SNOWMAN}')").stdout == "\N{SNOWMAN}\n"
    assert run("import sys; sys.stdout.buffer.write(b'a\\xffb')").stdout == "a\N{REPLACEMENT CHARACTER}b"


def test_output_beyond_the_limit_is_cut_and_that_is_told():
    half = KEPT_BYTES // 2
    seen = run(f"import sys; sys.stdout.write('x' * {half} + '12345' + 'z' * {half}); sys.stderr.write('y' * 9)")
    assert seen.stdout == "x" * half + "\n[... 5 bytes were cut here ...]\n" + "z" * half
    assert seen.stderr == "y" * 9


def test_input_is_empty_and_environment_variables_are_few(monkeypatch):
    monkeypatch.setenv("A_SECRET_OF_THE_SERVER", "s3cret")
    monkeypatch.setenv("PYTHONPATH", "/a/place/of/the/server")
    seen = run("import os, sys; print(repr(sys.stdin.read()), sorted(os.environ), '/a/place' in str(sys.path))")
    assert seen.stdout.startswith("''")
    assert "SECRET" not in seen.stdout
    assert "PYTHONPATH" not in seen.stdout
    assert "True" not in seen.stdout


# --- the work folder ---------------------------------------------------------------------------------


def test_files_stay_until_the_episode_ends_and_changes_are_listed():
    first, second, third = play(
        "import os; os.mkdir('d'); open('d/a', 'w').write('1'); open('b', 'w').write('1')",
        "open('d/a', 'w').write('2'); print(open('b').read())",
        "import os; os.remove('b')",
    )
    assert first.observation.files_changed == ["b", "d/a"]
    assert (second.observation.files_changed, second.observation.stdout) == (["d/a"], "1\n")
    assert third.observation.files_changed == ["b"]


def test_a_program_can_import_what_earlier_programs_wrote_and_were():
    *_, last = play(
        "open('mine.py', 'w').write('value = 6 * 7')",
        "answer = 1",
        "import mine, step_1; print(mine.value, step_1.answer)",
    )
    assert last.observation.stdout == "42 1\n"
    assert last.observation.files_changed == []


def test_file_names_that_are_no_text_are_shown_as_text():
    assert run(r"open(b'\xff', 'w').close()").files_changed == ["\N{REPLACEMENT CHARACTER}"]


def test_a_list_of_very_many_changes_is_cut():
    changed = run("for n in range(1001): open(f'{n:04}', 'w').close()").files_changed
    assert (len(changed), changed[-1]) == (1000, "0999")


def test_temporary_files_are_no_changes_and_go_with_the_episode():
    seen = run("import tempfile; print(tempfile.mkstemp()[1])")
    assert seen.files_changed == []
    assert not Path(seen.stdout.strip()).exists()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder that is none of a program's business; it is as it was at the end of the test."""
    place = tmp_path / "elsewhere"
    (place / "folder").mkdir(parents=True)
    (place / "folder" / "file").write_text("mine")
    modes = {path: 0o755 if path.is_dir() else 0o644 for path in (place, *place.rglob("*"))}
    for path, mode in modes.items():
        path.chmod(mode)
    yield place
    assert {path: path.stat().st_mode & 0o777 for path in (place, *place.rglob("*"))} == modes
    assert (place / "folder" / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "vandalism",
    [
        "import os, shutil; shutil.rmtree(os.getcwd())",
        "import os; here = os.getcwd(); os.rename(here, here + '2')",
        "import os; here = os.getcwd(); os.rmdir(here); os.symlink({elsewhere!r}, here)",
        "import os, shutil; here = os.environ['TMPDIR']; shutil.rmtree(here); os.symlink({elsewhere!r}, here)",
        "import os; os.chmod('.', 0)",
        "import os; os.mkfifo('step_1.py')",
        "import os; os.mkdir('step_1.py'); open('step_1.py/x', 'w').close()",
        "import os; os.symlink('/dev/full', 'step_1.py')",
        "import os; os.symlink({elsewhere!r}, 'step_1.py')",
    ],
)
def test_whatever_is_done_to_the_work_folder_the_next_program_runs(vandalism, elsewhere):
    first, second = play(vandalism.format(elsewhere=str(elsewhere)), "print('fine')")
    assert not any("elsewhere" in name or "folder" in name for name in first.observation.files_changed)
    assert second.observation.stdout == "fine\n"


@pytest.mark.parametrize(
    "litter",
    [
        pytest.param(
            "import os\nfor _ in range(1100): os.mkdir('d'); os.chdir('d')\nos.symlink({elsewhere!r}, 'link')",
            marks=pytest.mark.slow,
        ),
        "import os; os.symlink({elsewhere!r}, 'link'); os.mkfifo('pipe'); os.mkdir('d'); os.symlink('..', 'd/up')",
    ],
    ids=["deep", "links"],
)
def test_a_work_folder_is_removed_whatever_is_in_it(litter, elsewhere):
    first, second = play(litter.format(elsewhere=str(elsewhere)), "import os; print(os.getcwd())")
    assert first.reward == 1.0, first.observation.stderr
    assert not Path(second.observation.stdout.strip()).parent.exists()


def test_a_program_that_cannot_be_written_is_one_that_fails(monkeypatch):
    async def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Workspace, "write", full)
    (result,) = play("print('fine')")
    assert (result.reward, result.observation.exit_code) == (-0.5, 1)
    assert "No space left" in result.observation.stderr


def test_a_reset_empties_the_work_folder():
    async def main() -> None:
        environment = PythonExecEnvironment()
        for _ in range(2):
            await environment.reset()
            code = "import os; print(os.listdir()); open('file', 'w').close()"
            result = await environment.step(RunCodeAction(code=code))
            assert result.observation.stdout == "['step_0.py']\n"
        await environment.close()

    asyncio.run(main())


# --- what holds a program ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attempt",
    [
        "print(open({elsewhere!r} + '/folder/file').read())",
        "open({elsewhere!r} + '/new', 'w')",
        "import python_exec_env",
        "import socket; socket.create_connection(('127.0.0.1', 1))",
        "import os; os.kill(os.getppid(), 9)",
    ],
)
def test_a_program_gets_no_further_than_its_folder(attempt, elsewhere):
    first, second = play(attempt.format(elsewhere=str(elsewhere)), "print('fine')")
    assert (first.observation.stdout, first.reward) == ("", -0.5)
    assert "Error" in first.observation.stderr
    assert not (elsewhere / "new").exists()
    assert second.observation.stdout == "fine\n"


def running(mark: str) -> bool:
    """Whether there is a process anywhere that has this among its arguments."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in place.read_bytes():
                return True
        except OSError:  # it has ended meanwhile
            continue
    return False


def test_what_a_program_leaves_behind_has_ended_with_its_step():
    code = """
import os, subprocess, sys
ends, end = os.pipe()
child = "import os, sys, time; os.write(int(sys.argv[2]), b'!'); time.sleep(600)"
command = [sys.executable, '-S', '-c', child, {mark!r}, str(end)]
if os.fork() == 0:
    subprocess.Popen(command, start_new_session=True, pass_fds=[end])
    os._exit(0)
print(os.read(ends, 1))
"""
    mark = f"a program of {os.getpid()}"
    (result,) = play(code.format(mark=mark))
    assert result.observation.stdout == "b'!'\n", result.observation.stderr
    assert not running(mark)


def test_a_step_may_be_cancelled_at_any_moment():
    async def main() -> None:
        environment = PythonExecEnvironment()
        await environment.reset()
        for turns in range(0, 40, 4):
            step = asyncio.create_task(environment.step(RunCodeAction(code="import time; time.sleep(600)")))
            for _ in range(turns):
                await asyncio.sleep(0.0005)
            step.cancel()
            with pytest.raises(asyncio.CancelledError):
                await step
        result = await environment.step(RunCodeAction(code="print('fine')"))
        assert result.observation.stdout == "fine\n"
        await environment.close()

    asyncio.run(main())


# --- the episode -------------------------------------------------------------------------------------


def test_an_episode_is_cut_off_after_twenty_steps():
    results = play(*["pass"] * MAX_STEPS)
    assert [result.done for result in results] == [False] * (MAX_STEPS - 1) + [True]
    assert results[-1].truncated
    assert not results[-1].terminated


def test_a_reset_action_empties_the_folder_and_counts_anew_in_the_same_episode():
    async def main() -> None:
        environment = PythonExecEnvironment()
        await environment.reset(seed=5, episode_id="mine")
        hashed = RunCodeAction(code="open('f', 'w').close(); print(hash('x'))")
        before = await environment.step(hashed)
        result = await environment.step(ResetAction())
        assert (result.reward, result.done) == (0.0, False)
        assert result.observation.stdout.endswith("sandbox ready.")
        assert (environment.state.episode_id, environment.state.step_count) == ("mine", 0)
        after = await environment.step(hashed)
        assert after.observation.files_changed == ["f"]
        assert after.observation.stdout == before.observation.stdout
        await environment.close()

    asyncio.run(main())


def test_a_step_before_the_reset_says_so():
    with pytest.raises(NotResetError, match=r"reset\(\)"):
        asyncio.run(PythonExecEnvironment().step(RunCodeAction(code="pass")))


def test_eight_sessions_at_once_do_not_see_each_other():
    code = "import os; open('{0}', 'w').close(); print(*sorted(os.listdir()))"

    async def episode(server: LocalServer, number: int) -> list[str]:
        async with server.client(PyExecEnv) as env:
            await env.reset()
            names = (f"s{number}a", f"s{number}b")
            results = [await env.step(RunCodeAction(code=code.format(name))) for name in names]
            return results[-1].observation.stdout.split()

    async def main() -> None:
        async with LocalServer(PythonExecEnvironment) as server:
            seen = await asyncio.gather(*(episode(server, number) for number in range(8)))
        assert seen == [[f"s{number}a", f"s{number}b", "step_0.py", "step_1.py"] for number in range(8)]

    asyncio.run(main())


def test_an_episode_against_a_server():
    with PyExecEnv.with_provider(ProcessProvider()) as env:
        assert env.metadata().name == "python_exec_env"
        assert env.reset(seed=1).observation.stdout.startswith("Python 3.")
        result = env.step(RunCodeAction(code="print(6 * 7)"))
        assert (result.observation.stdout, result.reward, result.done) == ("42\n", 1.0, False)
        result = env.step(RunCodeAction(code="while True: pass", timeout_seconds=0.2))
        assert (result.observation.exit_code, result.reward) == (-1, -1.0)
        assert env.state().step_count == 2


@pytest.mark.slow
def test_the_oracle_earns_the_most_and_the_null_policy_the_least_in_a_sandbox():
    try:
        with PyExecEnv.with_provider(SandboxProvider()) as env:
            assert oracle(env) == MAX_RETURN
            assert null(env) == MIN_RETURN
    except IsolationError as error:
        pytest.skip(f"no sandbox here: {error}")
