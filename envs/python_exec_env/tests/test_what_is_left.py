"""Nothing that a program started goes on after its step, however the step ended and wherever it went."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from openenv.errors import SessionLost
from openenv.models import StepResult
from openenv.testing import LocalServer
from python_exec_env import PyExecEnv, RunCodeAction
from python_exec_env.server.python_exec_environment import PythonExecEnvironment

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked for in /proc")

WAIT_S = 20.0

CHILD = "import os, sys, time; print(os.getpid(), file=open(sys.argv[1], 'w'), flush=True); time.sleep(600)"

START = f"""
import os, subprocess, sys, time
command = [sys.executable, '-S', '-c', {CHILD!r}]
"""
THREE_CHILDREN = (
    START
    + """
files = [os.path.join({folder!r}, name) for name in ('in the group', 'in a session', 'a daemon')]
subprocess.Popen([*command, files[0]])
subprocess.Popen([*command, files[1]], start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [*command, files[2]])
    os._exit(0)
"""
)
A_CHILD_WITHOUT_A_TRACE = (
    START
    + """
files = [os.path.join({folder!r}, 'stranger')]
if os.fork() == 0:
    os.setsid()
    os.execve(sys.executable, [*command, *files], dict())
"""
)
UNTIL_THEY_ARE_THERE = """
while not all(os.path.exists(file) and open(file).read().endswith(chr(10)) for file in files):
    time.sleep(0.005)
"""


class Children:
    """A program that starts processes which stay, and what has become of them."""

    def __init__(self, folder: Path, program: str, number: int) -> None:
        self._folder = folder
        self._number = number
        self.program = program.format(folder=str(folder)) + UNTIL_THEY_ARE_THERE

    @property
    def pids(self) -> list[int]:
        texts = [file.read_text() for file in self._folder.iterdir()]
        return [int(text) for text in texts if text.endswith("\n")]

    def started(self) -> bool:
        return len(self.pids) == self._number

    def gone(self) -> bool:
        return self.started() and not any(map(_runs, self.pids))


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"  # ended, and not yet collected by its parent


@pytest.fixture
def children(tmp_path: Path) -> Children:
    return Children(tmp_path, THREE_CHILDREN, 3)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - processes send no events
            await asyncio.sleep(0.005)


async def play(code: str, timeout: float = WAIT_S) -> StepResult:
    environment = PythonExecEnvironment()
    await environment.reset()
    try:
        return await environment.step(RunCodeAction(code=code, timeout_seconds=timeout))
    finally:
        await environment.close()


async def leave_some_behind(children: Children) -> None:
    started = time.monotonic()
    result = await play(children.program + "print('done')")
    assert (result.observation.stdout, result.reward) == ("done\n", 1.0)
    assert time.monotonic() - started < WAIT_S
    await until(children.gone)


def test_what_a_program_leaves_behind_is_killed_and_does_not_hold_up_the_step(children):
    asyncio.run(leave_some_behind(children))


def test_the_same_holds_on_uvloop(children):
    uvloop = pytest.importorskip("uvloop")
    uvloop.run(leave_some_behind(children))


def test_a_timeout_kills_the_children_too(children):
    program = children.program + "print('so far')\nwhile True: time.sleep(1)"
    for seconds in (1, 3, 9, 27):  # a machine that is busy may take longer than a second to start a program
        result = asyncio.run(play(program, timeout=seconds))
        if result.observation.stdout:
            break
    assert children.started()
    assert (result.observation.timed_out, result.observation.exit_code, result.reward) == (True, -1, -1.0)
    assert result.observation.stdout == "so far\n"
    assert result.observation.stderr.endswith(f"TimeoutError: execution exceeded {seconds} s")
    asyncio.run(until(children.gone))


def test_a_process_that_cannot_be_found_does_not_hold_up_the_step(tmp_path):
    stranger = Children(tmp_path, A_CHILD_WITHOUT_A_TRACE, 1)
    result = asyncio.run(play(stranger.program + "print('done')"))
    try:
        assert (result.observation.stdout, result.reward) == ("done\n", 1.0)
    finally:  # it has put off all that it could be known by; to end such, a container is needed
        os.kill(stranger.pids[0], signal.SIGKILL)


def test_a_cancelled_step_leaves_no_process_and_no_folder(children, tmp_path, monkeypatch):
    (tmp_path.parent / "episodes").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path.parent / "episodes"))

    async def main() -> None:
        step = asyncio.create_task(play(children.program + "time.sleep(600)"))
        await until(children.started)
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        await until(children.gone)
        assert not list((tmp_path.parent / "episodes").iterdir())

    asyncio.run(main())


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


def test_a_session_that_is_closed_in_the_middle_of_a_step_leaves_nothing(children):
    async def main() -> None:
        async with LocalServer(PythonExecEnvironment) as server:
            env = await server.client(PyExecEnv).connect()
            await env.reset()
            step = asyncio.create_task(env.step(RunCodeAction(code=children.program + "time.sleep(600)")))
            await until(children.started)
            await env.close()
            await until(lambda: server.manager.capacity().active_sessions == 0)
            await until(children.gone)
            with pytest.raises(SessionLost):
                await step

    asyncio.run(main())
