"""What terminal_env promises: the contract of every environment, a terminal, and episodes that end in a grade."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from openenv.errors import InvalidRequestError, IsolationError, NotResetError
from openenv.execution import backend
from openenv.models import StepResult
from openenv.providers import ProcessProvider, SandboxProvider
from openenv.testing import EnvironmentContract, EnvironmentMemoryContract, LocalServer
from terminal_env import (
    ReadFile,
    RunCommand,
    SendKeys,
    Submit,
    TerminalEnv,
    TerminalObservation,
    WriteFile,
)
from terminal_env.policies import MAX_RETURN, MIN_RETURN, null, oracle
from terminal_env.server.tasks import Tasks
from terminal_env.server.terminal_environment import MOST_SHELLS, TerminalEnvironment

BOUND_S = 60.0


def _held() -> bool:
    try:
        return bool(backend())
    except IsolationError:
        return False


pytestmark = pytest.mark.skipif(not _held(), reason="nothing here holds programs")


class TestContract(EnvironmentContract):
    environment = TerminalEnvironment
    actions = (
        RunCommand(command="echo hi"),
        RunCommand(command="cat", timeout_s=0.1),
        SendKeys(keys="hi"),
        ReadFile(path="no such file"),
        WriteFile(path="a/b", data=b"\xff\0"),
        Submit(),
    )
    bad_actions = (
        {"type": "run"},
        {"type": "run", "command": 5},
        {"type": "run", "command": "x" * 100_001},
        {"type": "run", "command": "ls", "timeout_s": 0},
        {"type": "run", "command": "ls", "shell": "../x"},
        {"type": "keys", "then": "any key"},
        {"type": "no_such_type"},
        {"command": "ls"},
    )
    steps = 3

    def choose_action(self, step: int, result: StepResult) -> RunCommand:
        return RunCommand(command=f"echo {step} >> file; cat file")


@pytest.mark.slow
class TestMemory(EnvironmentMemoryContract):
    environment = TerminalEnvironment
    actions = (RunCommand(command="echo hi"),)
    steps = 1
    episodes = 500
    patience_s = 300


Play = Callable[[TerminalEnvironment], Awaitable[None]]


def in_episode(play: Play, **how: str) -> None:
    async def main() -> None:
        environment = TerminalEnvironment()
        async with asyncio.timeout(BOUND_S):
            try:
                await environment.reset(**({"seed": 1} | how))
                await play(environment)
            finally:
                await environment.close()

    asyncio.run(main())


async def do(environment: TerminalEnvironment, action: object) -> TerminalObservation:
    return (await environment.step(action)).observation


async def run(environment: TerminalEnvironment, command: str, **how: object) -> TerminalObservation:
    return await do(environment, RunCommand(command=command, **how))


# --- shells ------------------------------------------------------------------------------------------


def test_a_shell_keeps_its_folder_and_variables_and_shells_do_not_share_them():
    async def play(env: TerminalEnvironment) -> None:
        await run(env, "mkdir folder; cd folder; x=5")
        assert (await run(env, "echo $x; basename $PWD; false")).output == "5\nfolder\n"
        assert (await run(env, "echo $?")).output == "1\n"
        assert (await run(env, "echo ${x-none}; basename $PWD", shell="other")).output == "none\nwork\n"

    in_episode(play)


@pytest.mark.parametrize("command", ["cat", "read line", "sleep 600", "while :; do :; done", "python3 -q"])
def test_what_never_ends_is_interrupted_and_says_so_and_the_shell_goes_on(command):
    async def play(env: TerminalEnvironment) -> None:
        await run(env, "kept=1")
        seen = await run(env, command, timeout_s=0.5)
        assert (seen.timed_out, seen.running) == (True, False)
        assert "interrupted, for its time was up" in seen.output
        assert (await run(env, "echo fine $kept")).output == ("fine\n" if seen.shell_lost else "fine 1\n")

    in_episode(play)


async def written(environment: TerminalEnvironment, seen: TerminalObservation, end: str) -> str:
    """Look on until what a program has written ends as it should."""
    output = seen.output
    while not output.endswith(end):
        assert seen.running, output
        seen = await do(environment, SendKeys(then="nothing", wait_s=0.05))
        output += seen.output
    return output


def test_a_program_is_left_running_and_typed_into():
    async def play(env: TerminalEnvironment) -> None:
        script = "read -p 'name? ' name; echo hello $name; read -p 'sure? ' sure; echo you said $sure"
        seen = await run(env, script, leave_running=True, timeout_s=0.1)
        assert (seen.running, seen.exit_code) == (True, None)
        assert await written(env, seen, "? ") == "name? "
        seen = await do(env, SendKeys(keys="agent", wait_s=0.1))
        assert await written(env, seen, "? ") == "agent\nhello agent\nsure? "
        busy = await run(env, "echo meanwhile")
        assert (busy.running, busy.output, busy.error) == (True, "", "A command still runs in the shell main")
        assert (await run(env, "echo meanwhile", shell="other")).output == "meanwhile\n"
        seen = await do(env, SendKeys(keys="yes", wait_s=30))
        assert (seen.output, seen.running, seen.exit_code) == ("yes\nyou said yes\n", False, 0)
        assert (await run(env, "echo $name")).output == "agent\n"

    in_episode(play)


def test_keys_interrupt_and_end_the_input():
    async def play(env: TerminalEnvironment) -> None:
        for then, exit_code in (("ctrl-c", 130), ("ctrl-d", 0)):
            assert (await run(env, "cat", leave_running=True, timeout_s=0.2)).running
            seen = await do(env, SendKeys(then=then, wait_s=30))
            assert (seen.running, seen.exit_code) == (False, exit_code)

    in_episode(play)


def test_keys_for_nobody_are_answered_with_the_reason():
    async def play(env: TerminalEnvironment) -> None:
        assert "No command" in (await do(env, SendKeys(keys="x"))).error
        await run(env, "true", shell="other")
        assert "shell other" in (await do(env, SendKeys(keys="x", shell="other"))).error

    in_episode(play)


def test_a_command_that_is_left_running_may_end_at_once():
    async def play(env: TerminalEnvironment) -> None:
        seen = await run(env, "echo done; exit 3", leave_running=True)
        assert (seen.output.splitlines()[0], seen.exit_code, seen.running, seen.shell_lost) == (
            "done",
            3,
            False,
            True,
        )

    in_episode(play)


def test_there_are_only_so_many_shells():
    async def play(env: TerminalEnvironment) -> None:
        seen = [await run(env, "true", shell=f"s{n}") for n in range(MOST_SHELLS + 1)]
        assert [one.error for one in seen[:-1]] == [""] * MOST_SHELLS
        assert seen[-1].error == f"There may be {MOST_SHELLS} shells"
        assert (await run(env, "echo fine", shell="s0")).output == "fine\n"

    in_episode(play)


@pytest.mark.parametrize(
    "command",
    [
        "\0echo",
        "if",
        "echo '",
        "kill -9 $$",
        "exec true",
        "head -c 3000000 /dev/urandom",
        "yes | head -c 100000000",
        'rm -rf "$PWD"',
        "python3 -c 'import ctypes; ctypes.string_at(0)'",
        "stty raw -echo; tput reset",
    ],
)
def test_whatever_a_command_does_the_next_one_runs(command):
    async def play(env: TerminalEnvironment) -> None:
        seen = await run(env, command, timeout_s=5)
        assert len(seen.output) < 300_000
        assert (await run(env, "echo fine", shell="next")).output == "fine\n"

    in_episode(play)


def test_programs_that_multiply_are_told_of_and_end_with_the_episode():
    async def play(env: TerminalEnvironment) -> None:
        await run(env, "multiply() { multiply | multiply & }; multiply", timeout_s=1)
        assert (await run(env, "echo fine", timeout_s=1)).output
        last = await env.step(Submit())
        assert (last.reward, last.done) == (0.0, True)
        await env.reset(seed=1)
        assert (await run(env, "echo fine")).output == "fine\n"

    in_episode(play)


# --- files -------------------------------------------------------------------------------------------


def test_files_go_in_and_come_out_as_text_and_as_bytes():
    async def play(env: TerminalEnvironment) -> None:
        assert (await do(env, WriteFile(path="a/text", text="snow \N{SNOWMAN}\n"))).files_changed == ["a/text"]
        assert (await run(env, "cat a/text")).output == "snow \N{SNOWMAN}\n"
        every = bytes(range(256))
        await do(env, WriteFile(path="bytes", data=every))
        seen = await do(env, ReadFile(path="bytes"))
        assert seen.data == every
        assert "\N{REPLACEMENT CHARACTER}" in seen.output

    in_episode(play)


@pytest.mark.parametrize(
    "path", ["nothing", "", "a\0b", "pipe", "folder", "/etc/shadow", "/dev/zero", "x" * 5000, "big"]
)
def test_a_file_that_cannot_be_read_is_answered_with_the_reason(path):
    async def play(env: TerminalEnvironment) -> None:
        await run(env, "mkfifo pipe; mkdir folder; truncate -s 100M big")
        seen = await do(env, ReadFile(path=path))
        assert seen.error
        assert (seen.output, seen.data) == ("", None)

    in_episode(play)


@pytest.mark.parametrize("path", ["", "a\0b", "pipe", "folder", "/etc/new", "x" * 5000])
def test_a_file_that_cannot_be_written_is_answered_with_the_reason(path):
    async def play(env: TerminalEnvironment) -> None:
        await run(env, "mkfifo pipe; mkdir folder")
        assert (await do(env, WriteFile(path=path, text="x"))).error

    in_episode(play)


# --- the episode -------------------------------------------------------------------------------------


def test_seeds_choose_the_task_and_names_do_too():
    async def main() -> None:
        environment = TerminalEnvironment()
        seen = [(await environment.reset(seed=seed)).task_id for seed in (*range(20), *range(20))]
        assert seen[:20] == seen[20:]
        assert len(set(seen)) > 3
        assert (await environment.reset(task_id="sort-notes")).task_id == "sort-notes"
        with pytest.raises(InvalidRequestError, match="nested-parcel"):
            await environment.reset(task_id="../tasks")
        await environment.close()

    asyncio.run(main())


def test_a_step_before_the_reset_says_so():
    with pytest.raises(NotResetError, match=r"reset\(\)"):
        asyncio.run(TerminalEnvironment().step(Submit()))


def test_the_agent_sees_the_files_of_its_task_and_neither_tests_nor_solution():
    async def play(env: TerminalEnvironment) -> None:
        assert (await run(env, "ls")).output == "stats.py\n"
        tests = Path(Tasks().choose("broken-stats", None).tests)
        assert (await run(env, f"cat {tests}/* {tests.parent}/solution.sh >/dev/null")).exit_code == 1

    in_episode(play, task_id="broken-stats")


def test_no_step_but_the_last_has_a_reward_and_the_last_tells_the_tests():
    async def play(env: TerminalEnvironment) -> None:
        first = await env.step(RunCommand(command="echo 180 > requests.txt"))
        assert (first.reward, first.done, first.observation.tests) == (None, False, [])
        last = await env.step(Submit())
        assert (last.reward, last.done, last.truncated) == (pytest.approx(1 / 3), True, False)
        assert [test.passed for test in last.observation.tests] == [True, False, False]

    in_episode(play, task_id="log-report")


def test_what_still_runs_at_the_submission_is_ended_first():
    async def play(env: TerminalEnvironment) -> None:
        await run(
            env,
            "(setsid sh -c 'while :; do echo 180 > requests.txt; done' &) ; cat",
            leave_running=True,
            timeout_s=0.3,
        )
        await do(env, WriteFile(path="errors.txt", text=""))
        assert (await env.step(Submit())).done

    in_episode(play, task_id="log-report")


def test_a_reset_in_the_middle_starts_over_with_an_empty_folder():
    async def play(env: TerminalEnvironment) -> None:
        await run(env, "touch mine; x=1; cat", leave_running=True, timeout_s=0.2)
        await env.reset(task_id="nested-parcel", episode_id="next")
        assert (await run(env, "ls; echo ${x-none}")).output == "parcel.bin\nnone\n"
        assert (env.state.episode_id, env.state.step_count, env.state.task_id) == ("next", 1, "nested-parcel")

    in_episode(play)


def test_two_sessions_do_not_see_one_another():
    async def episode(server: LocalServer, number: int) -> str:
        async with server.client(TerminalEnv) as env:
            await env.reset(task_id="nested-parcel")
            await env.step(RunCommand(command=f"echo {number} > secret; mine={number}"))
            return (await env.step(RunCommand(command="cat secret; echo $mine; ls -1"))).observation.output

    async def main() -> None:
        async with LocalServer(TerminalEnvironment) as server, asyncio.timeout(BOUND_S):
            seen = await asyncio.gather(*(episode(server, number) for number in range(4)))
        assert seen == [f"{number}\n{number}\nparcel.bin\nsecret\n" for number in range(4)]

    asyncio.run(main())


def test_a_close_leaves_no_process_and_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def main() -> None:
        environment = TerminalEnvironment()
        await environment.reset()
        await run(environment, f"setsid sleep {LONG_S} & cat", leave_running=True, timeout_s=0.1)
        async with asyncio.timeout(BOUND_S):
            while not _sleepers():  # noqa: ASYNC110 - processes send no events
                await asyncio.sleep(0.01)
        await environment.close()
        assert not _sleepers()

    asyncio.run(main())
    assert not list(tmp_path.iterdir())


LONG_S = 600 + os.getpid() / 10**8  # which nobody else would sleep for


def _sleepers() -> list[str]:
    """Return the processes that sleep for just that long."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(LONG_S).encode() in place.read_bytes().split(b"\0")[:2]:
                found.append(place.parent.name)
    return found


# --- served ------------------------------------------------------------------------------------------


def test_an_episode_against_a_server():
    with TerminalEnv.with_provider(ProcessProvider()) as env:
        assert env.metadata().name == "terminal_env"
        assert "parcel.bin" in env.reset(task_id="nested-parcel").observation.instruction
        assert env.step(ReadFile(path="parcel.bin")).observation.data.startswith(b"\x1f\x8b")
        assert env.step(RunCommand(command="echo $((6 * 7))")).observation.output == "42\n"
        assert env.state().task_id == "nested-parcel"


@pytest.mark.slow
def test_the_policies_bound_what_can_be_earned_in_a_sandbox():
    with TerminalEnv.with_provider(SandboxProvider()) as env:
        for task_id in Tasks().ids:
            assert null(env, task_id=task_id) == MIN_RETURN, task_id
            assert oracle(env, task_id=task_id) == MAX_RETURN, task_id
