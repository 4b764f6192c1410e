"""The git environment itself: an episode is a copy of a task's repositories, and is graded by what is in them.

Commands run one at a time and leave no process behind; what stays from one to the next is what is on the disk.
"""

from __future__ import annotations

import posixpath
import shutil
from functools import cache
from pathlib import Path
from uuid import uuid4

from openenv.environment import Environment
from openenv.errors import ConfigurationError, NotResetError, WorkspaceLostError
from openenv.execution import Backend, Limits, Workspace, backend
from openenv.models import StepResult

from ..models import (
    AnyAction,
    CheckOutcome,
    GitAction,
    GitObservation,
    GitState,
    ReadFile,
    Submit,
    WriteFile,
)
from .building import Builder, Built
from .judge import judge
from .settings import WORKING, dated
from .tasks import SHIPPED, Task, Tasks

MOST_FILE_BYTES = 1024 * 1024


@cache
def _backend() -> Backend:
    return backend(Limits(output_bytes=64 * 1024))


@cache
def _builder() -> Builder:
    return Builder(_backend())


@cache
def _tasks(folder: str) -> Tasks:
    return Tasks(folder)


class GitEnvironment(Environment[AnyAction, GitObservation, GitState]):
    """Gives an agent real git repositories and a task; the share of the task's checks that pass is the reward.

    Args:
        tasks: A folder of tasks; by default those that come with it.

    Raises:
        ConfigurationError: There is no git here, or there are no tasks, or one of them is not complete.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, tasks: Path | str = SHIPPED) -> None:
        super().__init__()
        if shutil.which("git") is None:
            raise ConfigurationError("There is no git on this machine (Debian: apt-get install git)")
        self._tasks = _tasks(str(tasks))
        self._episode: tuple[Task, Built] | None = None
        self._workspace: Workspace | None = None
        self._state = GitState()

    async def reset(
        self, seed: int | None = None, episode_id: str | None = None, task_id: str | None = None
    ) -> GitObservation:
        """Start over with the task of a name, or with one that the seed decides."""
        task = self._tasks.choose(task_id, seed)
        self._episode = None
        built = await _builder().built(task)
        workspace = await self._emptied()
        await workspace.unpack(built.files)
        self._episode = task, built
        self._state = GitState(episode_id=episode_id or uuid4().hex, step_count=0, task_id=task.id)
        return GitObservation(task_id=task.id, instruction=task.instruction)

    async def step(self, action: AnyAction) -> StepResult[GitObservation]:
        """Do what the action says. The checks are made when it says so, and when the steps are used up."""
        if self._episode is None or self._workspace is None:
            raise NotResetError("There is no task yet: call reset() before step()")
        task, built = self._episode
        submitted = isinstance(action, Submit)
        seen = GitObservation() if submitted else await self._act(self._workspace, task, action)
        self._state.step_count += 1
        if not submitted and self._state.step_count < task.max_steps:
            return StepResult(seen)
        seen.checks = await judge(task, built, self._workspace, _backend())
        return StepResult(seen, reward=_reward(seen.checks), done=submitted, truncated=not submitted)

    @property
    def state(self) -> GitState:
        """The episode's id, its steps and its task."""
        return self._state

    async def close(self) -> None:
        """End everything that runs, and remove the repositories."""
        workspace, self._workspace, self._episode = self._workspace, None, None
        if workspace is not None:
            await workspace.close()

    async def _emptied(self) -> Workspace:
        if self._workspace is not None:
            try:
                await self._workspace.reset()
            except WorkspaceLostError:  # what lost it has ended with the episode
                await self._workspace.close()
                self._workspace = None
        if self._workspace is None:
            self._workspace = await _backend().open()
        return self._workspace

    async def _act(
        self, workspace: Workspace, task: Task, action: GitAction | ReadFile | WriteFile
    ) -> GitObservation:
        try:
            match action:
                case GitAction():
                    return await self._run(workspace, task, action)
                case ReadFile():
                    data = await workspace.read(_path(task, action.path), most_bytes=MOST_FILE_BYTES)
                    return GitObservation(stdout=data.decode("utf-8", "replace"))
                case WriteFile():
                    await workspace.write(_path(task, action.path), action.text.encode(errors="replace"))
                    return GitObservation()
        except OSError as error:
            return GitObservation(error=error.strerror or str(error))

    async def _run(self, workspace: Workspace, task: Task, action: GitAction) -> GitObservation:
        done = await workspace.run(
            action.command.replace("\0", "\N{REPLACEMENT CHARACTER}"),
            env=WORKING | dated(self._state.step_count),
            folder=task.start,
            timeout_s=action.timeout_s,
        )
        note = "The command was ended, for its time was up" if done.timed_out else ""
        return GitObservation(
            stdout=done.stdout,
            stderr=done.stderr,
            exit_code=done.exit_code,
            timed_out=done.timed_out,
            error=note
            or (f"The command was ended, for it used up the {done.killed_for}" if done.killed_for else ""),
        )


def _path(task: Task, path: str) -> str:
    """Return a path of an action as seen from the work folder.

    Raises:
        OSError: It cannot be one.
    """
    if "\0" in path or not path:
        raise OSError("A path is not empty, and has no NUL in it")
    return posixpath.join(task.start, path)


def _reward(checks: list[CheckOutcome]) -> float:
    return sum(check.passed for check in checks) / len(checks)
