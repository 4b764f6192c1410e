"""Runs Python code for real: a new interpreter for each step, a work folder for each episode.

Each program is a process of the episode's workspace, which holds it, limits it, and ends whatever it has started.
"""

import contextlib
import sys
from functools import cache
from uuid import uuid4

from openenv.environment import Environment
from openenv.errors import NotResetError, WorkspaceLostError
from openenv.execution import Backend, Execution, Workspace, backend
from openenv.models import State, StepResult

from ..models import PyExecObservation, ResetAction, RunCodeAction

MAX_STEPS = 20
REWARD_SUCCESS, REWARD_ERROR, REWARD_TIMEOUT = 1.0, -0.5, -1.0
TIMEOUT_EXIT_CODE = -1


@cache
def the_backend() -> Backend:
    """Return what opens the workspaces, the same one each time."""
    return backend()


class PythonExecEnvironment(Environment[RunCodeAction | ResetAction, PyExecObservation, State]):
    """Runs Python code. Reward 1.0 if it exits with 0, -0.5 if not, -1.0 on a timeout; 20 steps an episode."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self._workspace: Workspace | None = None
        self._seed: int | None = None
        self._state = State()

    async def reset(self, seed: int | None = None, episode_id: str | None = None) -> PyExecObservation:
        """Start with an empty work folder. The seed fixes the programs' hashes, and so the order of their sets."""
        self._workspace = await self._empty_workspace()
        self._seed = seed
        self._state = State(episode_id=episode_id or uuid4().hex, step_count=0)
        return PyExecObservation(
            stdout=f"Python {sys.version_info.major}.{sys.version_info.minor} sandbox ready.",
            stderr="",
            exit_code=0,
            execution_time_ms=0.0,
        )

    async def step(self, action: RunCodeAction | ResetAction) -> StepResult[PyExecObservation]:
        """Run the code, or start over."""
        if self._workspace is None:
            raise NotResetError("There is no work folder yet: call reset() before step()")
        if isinstance(action, ResetAction):
            observation = await self.reset(self._seed, self._state.episode_id)
            return StepResult(observation, reward=0.0)
        observation = _seen(await self._run(action, self._workspace), action.timeout_seconds)
        self._state.step_count += 1
        last = self._state.step_count >= MAX_STEPS
        return StepResult(observation, reward=_reward(observation), truncated=last)

    @property
    def state(self) -> State:
        """The episode's id and its steps."""
        return self._state

    async def close(self) -> None:
        """Remove the work folder."""
        workspace, self._workspace = self._workspace, None
        if workspace is not None:
            await workspace.close()

    async def _empty_workspace(self) -> Workspace:
        if self._workspace is not None:
            try:
                await self._workspace.reset()
            except WorkspaceLostError:
                await self.close()
            else:
                return self._workspace
        return await the_backend().open()

    async def _run(self, action: RunCodeAction, workspace: Workspace) -> Execution:
        script = f"step_{self._state.step_count}.py"
        with contextlib.suppress(OSError):  # whatever an earlier program has left at its place
            await workspace.remove(script)
        try:
            await workspace.write(script, action.code.encode(errors="surrogatepass"))
        except OSError as error:  # earlier programs have filled the disk
            return Execution(stderr=f"{script} cannot be written: {error}\n", exit_code=1)
        return await workspace.run(
            [sys.executable, "-s", script],
            env={"PYTHONHASHSEED": str((self._seed or 0) % 2**32)},
            timeout_s=action.timeout_seconds,
        )


def _seen(execution: Execution, timeout_s: float) -> PyExecObservation:
    late = f"TimeoutError: execution exceeded {timeout_s:g} s" if execution.timed_out else ""
    return PyExecObservation(
        stdout=execution.stdout,
        stderr=execution.stderr + late,
        exit_code=TIMEOUT_EXIT_CODE if execution.timed_out else execution.returncode,
        timed_out=execution.timed_out,
        execution_time_ms=execution.seconds * 1000,
        files_changed=list(execution.files_changed),
    )


def _reward(observation: PyExecObservation) -> float:
    if observation.timed_out:
        return REWARD_TIMEOUT
    return REWARD_ERROR if observation.exit_code else REWARD_SUCCESS
