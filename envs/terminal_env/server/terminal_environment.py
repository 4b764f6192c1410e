"""The terminal environment itself: shells that stay within an episode, and a reward by tests at its end.

All that the agent does happens in one workspace. It gets the task's files and nothing else of the task; see `judge`
for what happens at the end.
"""

from __future__ import annotations

import asyncio
import time
from functools import cache
from pathlib import Path
from uuid import uuid4

from openenv.environment import Environment
from openenv.errors import NotResetError, WorkspaceLostError
from openenv.execution import Backend, Execution, Limits, Workspace, backend
from openenv.models import StepResult

from ..models import (
    ReadFile,
    RunCommand,
    SendKeys,
    Submit,
    TerminalAction,
    TerminalObservation,
    TerminalState,
    TestOutcome,
    WriteFile,
)
from .judge import judge
from .running import Running
from .tasks import SHIPPED, Task, Tasks

KEYS = {
    "enter": "\n",
    "nothing": "",
    "ctrl-c": "\x03",
    "ctrl-d": "\x04",
    "ctrl-z": "\x1a",
    "tab": "\t",
    "escape": "\x1b",
    "backspace": "\x7f",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
}
MOST_SHELLS = 8
MOST_FILE_BYTES = 4 * 1024 * 1024
VARIABLES = {"GIT_CONFIG_NOSYSTEM": "1", "PAGER": "cat", "GIT_PAGER": "cat"}


@cache
def _backend() -> Backend:
    return backend(Limits(output_bytes=64 * 1024), env=VARIABLES)


@cache
def _tasks(folder: str) -> Tasks:
    return Tasks(folder)


class TerminalEnvironment(Environment[TerminalAction, TerminalObservation, TerminalState]):
    """Gives an agent a terminal and a task; the share of the task's hidden tests that pass is the reward.

    Args:
        tasks: A folder of tasks in the layout of terminal-bench; by default those that come with it.

    Raises:
        ConfigurationError: There are none, or one of them is not complete.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, tasks: Path | str = SHIPPED) -> None:
        super().__init__()
        self._tasks = _tasks(str(tasks))
        self._task: Task | None = None
        self._workspace: Workspace | None = None
        self._running: dict[str, Running] = {}
        self._shells: set[str] = set()
        self._ends_at = 0.0
        self._state = TerminalState()

    async def reset(
        self, seed: int | None = None, episode_id: str | None = None, task_id: str | None = None
    ) -> TerminalObservation:
        """Start over with the task of a name, or with one that the seed decides."""
        task = self._tasks.choose(task_id, seed)
        self._task = None
        await self._end_running()
        workspace = await self._emptied()
        await workspace.unpack(await asyncio.to_thread(task.files))
        self._task = task
        self._ends_at = time.monotonic() + task.agent_timeout_s
        self._state = TerminalState(episode_id=episode_id or uuid4().hex, step_count=0, task_id=task.id)
        return TerminalObservation(task_id=task.id, instruction=task.instruction)

    async def step(self, action: TerminalAction) -> StepResult[TerminalObservation]:
        """Do what the action says. The tests are run when it says so, and when steps or time are used up."""
        task, workspace = self._task, self._workspace
        if task is None or workspace is None:
            raise NotResetError("There is no task yet: call reset() before step()")
        submitted = isinstance(action, Submit)
        seen = TerminalObservation() if submitted else await self._act(workspace, action)
        self._state.step_count += 1
        over = self._state.step_count >= task.max_steps or time.monotonic() >= self._ends_at
        if not (submitted or over):
            return StepResult(seen)
        await self._end_running()
        seen.tests = await judge(task, workspace, _backend().open)
        return StepResult(seen, reward=_reward(task, seen.tests), done=submitted, truncated=not submitted)

    @property
    def state(self) -> TerminalState:
        """The episode's id, its steps and its task."""
        return self._state

    async def close(self) -> None:
        """End everything that runs, and remove the work folder."""
        workspace, self._workspace, self._task = self._workspace, None, None
        await self._end_running()
        if workspace is not None:
            await workspace.close()

    # --- actions ---------------------------------------------------------------------------------

    async def _act(
        self, workspace: Workspace, action: RunCommand | SendKeys | ReadFile | WriteFile
    ) -> TerminalObservation:
        try:
            match action:
                case RunCommand():
                    return await self._run(workspace, action)
                case SendKeys():
                    return await self._send_keys(workspace, action)
                case ReadFile():
                    data = await workspace.read(_path(action.path), most_bytes=MOST_FILE_BYTES)
                    return TerminalObservation(output=data.decode("utf-8", "replace"), data=data)
                case WriteFile():
                    data = action.text.encode(errors="replace") if action.data is None else action.data
                    await workspace.write(_path(action.path), data)
                    return TerminalObservation(files_changed=[action.path])
        except OSError as error:
            return TerminalObservation(error=error.strerror or str(error))

    async def _run(self, workspace: Workspace, action: RunCommand) -> TerminalObservation:
        if action.shell in self._running:
            return TerminalObservation(running=True, error=f"A command still runs in the shell {action.shell}")
        self._shells.add(action.shell)
        if len(self._shells) > MOST_SHELLS:
            self._shells.remove(action.shell)
            return TerminalObservation(error=f"There may be {MOST_SHELLS} shells")
        seconds = self._left(action.timeout_s)
        if not action.leave_running:
            done = await workspace.shell(action.command, name=action.shell, timeout_s=seconds)
            return _seen(done.stdout, done)
        running = Running(workspace, action.shell, action.command, self._left())
        self._running[action.shell] = running
        return await self._look(action.shell, running, seconds)

    async def _send_keys(self, workspace: Workspace, action: SendKeys) -> TerminalObservation:
        running = self._running.get(action.shell)
        if running is None:
            return TerminalObservation(error=f"No command has been left running in the shell {action.shell}")
        await workspace.send_keys(action.keys + KEYS[action.then], name=action.shell)
        return await self._look(action.shell, running, self._left(action.wait_s))

    async def _look(self, shell: str, running: Running, seconds: float) -> TerminalObservation:
        new, done = await running.look(seconds)
        if done is None:
            return TerminalObservation(output=new, running=True)
        del self._running[shell]
        return _seen(new, done)

    async def _emptied(self) -> Workspace:
        if self._workspace is not None:
            try:
                await self._workspace.reset()
            except WorkspaceLostError:  # what lost it has ended with the episode
                await self._workspace.close()
                self._workspace = None
        if self._workspace is None:
            self._workspace = await _backend().open()
        self._shells.clear()
        return self._workspace

    async def _end_running(self) -> None:
        running, self._running = self._running, {}
        for one in running.values():
            await one.end()

    def _left(self, wanted_s: float = float("inf")) -> float:
        """Return the seconds that something may take, with regard to what the episode may take."""
        return max(0.05, min(wanted_s, self._ends_at - time.monotonic()))


def _path(path: str) -> str:
    """Return a path as the system takes it.

    Raises:
        OSError: It cannot be one.
    """
    if "\0" in path or not path:
        raise OSError("A path is not empty, and has no NUL in it")
    return path


def _seen(output: str, done: Execution) -> TerminalObservation:
    notes = []
    if done.timed_out:
        notes.append("[The command was interrupted, for its time was up]")
    if done.killed_for:
        notes.append(f"[The command was ended, for it used up the {done.killed_for}]")
    if done.context_lost:
        notes.append("[The shell has ended; its name now means a new one]")
    if notes and output and not output.endswith("\n"):
        output += "\n"
    return TerminalObservation(
        output=output + "\n".join(notes),
        exit_code=done.exit_code,
        timed_out=done.timed_out,
        shell_lost=done.context_lost,
        files_changed=list(done.files_changed),
    )


def _reward(task: Task, tests: list[TestOutcome]) -> float:
    passed = sum(test.passed for test in tests)
    return float(passed == len(tests)) if task.reward == "all" else passed / len(tests)
