"""Nothing that a program started goes on after its step, however the step ended and wherever it went."""

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from openenv.models import StepResult
from openenv.testing import LocalServer
from python_exec_env import PyExecEnv, RunCodeAction
from python_exec_env.server.python_exec_environment import PythonExecEnvironment

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked for in /proc")

WAIT_S = 20.0

CHILD = "import os, sys, time; print(os.getpid(), file=open({!r}, 'w'), flush=True); time.sleep(600)"

# Each starts a child that writes its process id to a file and stays.
IN_THE_GROUP = """
import subprocess, sys
subprocess.Popen([sys.executable, '-c', {child!r}])
"""
OUT_OF_THE_GROUP = """
import subprocess, sys
subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True)
"""
TWICE_REMOVED = """
import os, subprocess, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, '-c', {child!r}])
    os._exit(0)
"""
UNTIL_IT_IS_THERE = """
import os, time
while not (os.path.exists({file!r}) and open({file!r}).read().endswith(chr(10))):
    time.sleep(0.01)
"""


class Child:
    """The program that starts it, and whether it is gone."""

    def __init__(self, file: Path, program: str) -> None:
        self._file = file
        names = {"child": CHILD.format(str(file)), "file": str(file)}
        self.program = program.format(**names) + UNTIL_IT_IS_THERE.format(**names)

    @property
    def started(self) -> bool:
        return self._file.exists() and self._file.read_text().endswith("\n")

    @property
    def gone(self) -> bool:
        try:
            stat = Path(f"/proc/{int(self._file.read_text())}/stat").read_text()
        except OSError:
            return True
        return stat.rpartition(")")[2].split()[0] in "ZX"  # ended, and not yet collected by its parent


@pytest.fixture(params=[IN_THE_GROUP, OUT_OF_THE_GROUP, TWICE_REMOVED], ids=["child", "session", "daemon"])
def child(request, tmp_path) -> Child:
    return Child(tmp_path / "pid", request.param)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.005)


def play(code: str, timeout: float = WAIT_S) -> StepResult:
    async def episode() -> StepResult:
        environment = PythonExecEnvironment()
        await environment.reset()
        try:
            return await environment.step(RunCodeAction(code=code, timeout_seconds=timeout))
        finally:
            await environment.close()

    return asyncio.run(episode())


def test_what_a_program_leaves_behind_is_killed_and_does_not_hold_up_the_step(child):
    started = time.monotonic()
    result = play(child.program + "print('done')")
    assert (result.observation.stdout, result.reward) == ("done\n", 1.0)
    assert time.monotonic() - started < WAIT_S
    asyncio.run(until(lambda: child.gone))


def test_a_timeout_kills_the_children_too(child):
    result = play(child.program + "print('so far')\nwhile True: time.sleep(1)", timeout=1.0)
    assert child.started, "the test's machine is too slow for its timeout"
    assert result.observation.timed_out
    assert (result.observation.exit_code, result.reward) == (-1, -1.0)
    assert result.observation.stdout == "so far\n"
    assert result.observation.stderr.endswith("TimeoutError: execution exceeded 1 s")
    asyncio.run(until(lambda: child.gone))


def test_a_process_that_cannot_be_found_does_not_hold_up_the_step(tmp_path):
    escape = (
        "import os, sys\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        f"    os.execve(sys.executable, [sys.executable, '-S', '-c', {CHILD.format(str(tmp_path / 'pid'))!r}], {{}})\n"
    )
    child = Child(tmp_path / "pid", escape.replace("{", "{{").replace("}", "}}"))
    result = play(child.program + "print('done')")
    assert (result.observation.stdout, result.reward) == ("done\n", 1.0)
    assert not child.gone  # it has put off all that it could be known by; a container is for that
    import os
    import signal

    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_cancelled_step_leaves_no_process_and_no_folder(child):
    async def main() -> None:
        environment = PythonExecEnvironment()
        await environment.reset()
        step = asyncio.create_task(environment.step(RunCodeAction(code=child.program + "time.sleep(600)")))
        await until(lambda: child.started)
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        await until(lambda: child.gone)
        await environment.close()

    asyncio.run(main())


@pytest.mark.parametrize("loops", range(6))
def test_a_step_may_be_cancelled_at_any_moment(loops):
    async def main() -> None:
        environment = PythonExecEnvironment()
        await environment.reset()
        step = asyncio.create_task(environment.step(RunCodeAction(code="import time; time.sleep(600)")))
        for _ in range(loops):
            await asyncio.sleep(0.002)
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        result = await environment.step(RunCodeAction(code="print('fine')"))
        assert result.observation.stdout == "fine\n"
        await environment.close()

    asyncio.run(main())


def test_a_session_that_is_closed_in_the_middle_of_a_step_leaves_nothing(child):
    async def main() -> None:
        async with LocalServer(PythonExecEnvironment) as server:
            env = await server.client(PyExecEnv).connect()
            await env.reset()
            step = asyncio.create_task(env.step(RunCodeAction(code=child.program + "time.sleep(600)")))
            await until(lambda: child.started)
            await env.close()
            await until(lambda: server.manager.capacity().active_sessions == 0)
            await until(lambda: child.gone)
            step.cancel()

    asyncio.run(main())


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="uvloop is for CPython")
def test_the_same_holds_on_uvloop(child):
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        environment = PythonExecEnvironment()
        await environment.reset()
        result = await environment.step(RunCodeAction(code=child.program + "print('done')"))
        assert (result.observation.stdout, result.reward) == ("done\n", 1.0)
        await until(lambda: child.gone)
        await environment.close()

    uvloop.run(main())
