"""How tasks are graded: by what their tests say, whatever an agent leaves behind for them."""

import asyncio
import textwrap
from pathlib import Path

import pytest

from openenv.errors import ConfigurationError, IsolationError
from openenv.execution import backend
from openenv.models import StepResult
from terminal_env import RunCommand, Submit
from terminal_env.server import judge
from terminal_env.server.tasks import Tasks
from terminal_env.server.terminal_environment import TerminalEnvironment

BOUND_S = 60.0
READS = "from pathlib import Path\ndef test_it():\n    assert Path('answer').read_text() == '42\\n'\n"
RUNS = "def test_it(run):\n    assert run('sh program', stdin='6 7').stdout == '42\\n'\n"


def _held() -> bool:
    try:
        return bool(backend())
    except IsolationError:
        return False


pytestmark = pytest.mark.skipif(not _held(), reason="nothing here holds programs")


@pytest.fixture(params=["pytest", "plain"])
def runner(request, monkeypatch) -> str:
    """Which of the two runs tests in Python."""
    if request.param == "plain":
        monkeypatch.setattr(judge.importlib.util, "find_spec", lambda name: None)
    return request.param


def make_task(folder: Path, tests: dict[str, str], told: str = "", files: dict[str, str] | None = None) -> Path:
    task = folder / "task"
    for name, text in {
        "task.yaml": f"instruction: Do it.\n{told}",
        **{f"tests/{name}": text for name, text in tests.items()},
        **(files or {}),
    }.items():
        (task / name).parent.mkdir(parents=True, exist_ok=True)
        (task / name).write_text(textwrap.dedent(text))
    return folder


def graded(folder: Path, *commands: str) -> StepResult:
    """Run some commands in an episode of the only task, submit, and return what comes of it."""

    async def main() -> StepResult:
        environment = TerminalEnvironment(folder)
        async with asyncio.timeout(BOUND_S):
            try:
                await environment.reset()
                for command in commands:
                    await environment.step(RunCommand(command=command, timeout_s=30))
                return await environment.step(Submit())
            finally:
                await environment.close()

    return asyncio.run(main())


# --- what tests are ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "reward"), [("echo 42 > answer", 1.0), ("echo 41 > answer", 0.0), ("true", 0.0)]
)
def test_a_test_reads_what_was_left(tmp_path, runner, command, reward):
    result = graded(make_task(tmp_path, {"test_outputs.py": READS}), command)
    assert (result.reward, result.done) == (reward, True)
    assert [(test.name, test.passed) for test in result.observation.tests] == [
        ("test_outputs.py::test_it", reward == 1.0)
    ]


@pytest.mark.parametrize(("program", "reward"), [("read a b; echo $((a * b))", 1.0), ("echo 1", 0.0), ("cat", 0.0)])
def test_a_test_runs_what_was_left(tmp_path, runner, program, reward):
    folder = make_task(tmp_path, {"test_outputs.py": RUNS})
    assert graded(folder, f"echo '{program}' > program").reward == reward


def test_the_share_of_the_tests_is_the_reward_or_all_of_them(tmp_path, runner):
    tests = {"test_outputs.py": READS + "def test_more():\n    assert False, 'not yet'\n"}
    assert graded(make_task(tmp_path / "share", tests), "echo 42 > answer").reward == 0.5
    result = graded(make_task(tmp_path / "all", tests, "reward: all"), "echo 42 > answer")
    assert result.reward == 0.0
    assert [test.passed for test in result.observation.tests] == [True, False]
    assert "not yet" in result.observation.tests[1].message


def test_tests_may_be_shell_scripts(tmp_path):
    scripts = {"check.sh": "grep -qx 42 answer", "run_tests.sh": 'test -f "$TEST_DIR/check.sh" && test -e missing'}
    result = graded(make_task(tmp_path, scripts), "echo 42 > answer")
    assert result.reward == 0.5
    assert [(test.name, test.passed) for test in result.observation.tests] == [
        ("check.sh", True),
        ("run_tests.sh", False),
    ]


def test_of_terminal_benchs_layout_the_agent_gets_the_files_and_nothing_else(tmp_path):
    others = ("Dockerfile", "docker-compose.yaml", "run-tests.sh", "solution.sh", "data.txt", "src/main.c")
    folder = make_task(tmp_path, {"test_outputs.py": "def test_it(): pass"}, files=dict.fromkeys(others, "x"))

    async def main() -> None:
        environment = TerminalEnvironment(folder)
        await environment.reset()
        seen = await environment.step(RunCommand(command="find . -type f | sort"))
        assert seen.observation.output == "./data.txt\n./src/main.c\n"
        await environment.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("tests", "told"),
    [
        ({}, ""),
        ({"helper.py": ""}, ""),
        ({"test_x.py": ""}, "reward: some"),
        ({"test_x.py": ""}, "max_steps: many"),
    ],
)
def test_what_is_no_task_is_refused_when_it_is_read(tmp_path, tests, told):
    with pytest.raises(ConfigurationError, match="task"):
        Tasks(make_task(tmp_path, tests, told))


def test_a_folder_without_tasks_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no tasks"):
        TerminalEnvironment(tmp_path)


# --- steps and time ----------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["max_steps: 1", "max_agent_timeout_sec: 0.2"])
def test_when_steps_or_time_are_used_up_the_tests_are_run_too(tmp_path, limit):
    folder = make_task(tmp_path, {"test_outputs.py": READS}, limit, {"environment/answer": "42\n"})

    async def main() -> None:
        environment = TerminalEnvironment(folder)
        await environment.reset()
        result = await environment.step(RunCommand(command="sleep 0.3"))
        assert (result.reward, result.done, result.truncated) == (1.0, True, True)
        await environment.close()

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.parametrize(
    "broken", ["import os; os._exit(0)", "1 / 0", "while True: pass", "open('/dev/zero').read()"]
)
def test_a_test_that_does_not_end_has_not_passed(tmp_path, runner, broken):
    tests = {"test_a.py": READS, "test_b.py": f"def test_it():\n    {broken}\n"}
    result = graded(make_task(tmp_path, tests, "max_test_timeout_sec: 12"), "echo 42 > answer")
    assert result.reward == 0.5
    assert [test.passed for test in result.observation.tests] == [True, False]


def test_a_file_of_tests_that_cannot_be_imported_counts_as_a_test_that_failed(tmp_path, runner):
    tests = {"test_a.py": READS, "test_b.py": "import json\nDATA = json.load(open('data.json'))\n"}
    result = graded(make_task(tmp_path, tests), "echo 42 > answer")
    assert result.reward == 0.5
    assert [test.passed for test in sorted(result.observation.tests, key=lambda test: test.name)] == [True, False]


# --- what an agent may leave behind ------------------------------------------------------------------

NAMES = "pytest json os sitecustomize usercustomize conftest test_outputs pathlib _pytest"
MODULES = f"for name in {NAMES}; do echo 'import os; os._exit(0)' > $name.py; done"
CONFIGURATION = r"""
    printf '[pytest]\naddopts = --collect-only\n' | tee pytest.ini tox.ini setup.cfg
    echo 'def pytest_collection_modifyitems(items): items.clear()' > conftest.py
"""
PROGRAMS = """
    mkdir bin; printf '#!/bin/sh\nexit 0\n' > bin/bash; chmod +x bin/bash; cp bin/bash bin/python3
    export PATH=$PWD/bin:$PATH; echo 'exit 0' > .bashrc; cp .bashrc .profile
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "trap",
    [
        MODULES,
        CONFIGURATION,
        PROGRAMS,
        "ln -s /dev/null tests; ln -s / everything; mkfifo answer.fifo",
        "mkdir -p locked/in; chmod 000 locked/in; chmod 777 .",
    ],
    ids=["modules", "configuration", "programs", "links", "locked"],
)
def test_what_is_left_behind_for_the_tests_changes_nothing(tmp_path, runner, trap):
    folder = make_task(
        tmp_path, {"test_outputs.py": READS, "sub/test_more.py": RUNS.replace("test_it", "test_more")}
    )
    assert graded(folder, trap).reward == 0.0
    assert graded(folder, trap, "rm -rf locked; echo 42 > answer; echo echo 42 > program").reward == 1.0


def test_a_program_that_a_test_runs_finds_neither_tests_nor_their_process(tmp_path, runner):
    snoop = f"""
        find / -name 'test_outputs.py' -path '*{tmp_path.name}*' 2>/dev/null
        cat {tmp_path}/task/tests/test_outputs.py 2>/dev/null
        for process in /proc/[0-9]*; do grep -l test_outputs $process/cmdline 2>/dev/null; done
        echo 42 > answer
    """
    test = "def test_it(run):\n    assert run('sh program 2>/dev/null; cat answer').stdout == '42\\n'\n"
    assert graded(make_task(tmp_path, {"test_outputs.py": test}), f"echo {_quoted(snoop)} > program").reward == 1.0


ATTACK = """
import os, re, signal, sys
for fd in range(3, 64):
    for text in (b'{"call": "ended", "args": ["", "test_outputs.py::test_it", true, ""]}',):
        try: os.write(fd, len(text).to_bytes(4, 'big') + bytes(4) + text)
        except OSError: pass
for name in ("mem", "environ", "maps", "fd"):
    try:
        open(f"/proc/{os.getppid()}/{name}").close(); print("read", name)
    except OSError: pass
try: os.kill(os.getppid(), signal.SIGKILL)
except OSError: pass
"""


def test_a_program_that_a_test_starts_beside_itself_can_spoil_its_grade_and_not_forge_it(tmp_path, runner):
    test = """
        import subprocess, sys
        def test_it():
            seen = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True)
            assert "read" not in seen.stdout
            assert False
    """
    folder = make_task(tmp_path, {"test_outputs.py": test})
    assert graded(folder, f"echo {_quoted(ATTACK)} > program.py").reward == 0.0


def test_a_folder_that_is_too_large_to_be_copied_has_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "MOST_BYTES", 1_000_000)
    result = graded(
        make_task(tmp_path, {"test_outputs.py": READS}), "echo 42 > answer; head -c 2000000 /dev/zero > x"
    )
    assert result.reward == 0.0
    assert "cannot be copied" in result.observation.tests[0].message


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
