"""Runs Python code for real: a new interpreter for each step, a work folder for each episode.

A program gets no input, no environment variables but a few harmless ones, and a limit on its time and on the
output that is kept. Nothing it started goes on after its step. This keeps honest code apart; for hostile code run
the server in a container or sandbox.
"""

import asyncio
import os
import sys
from uuid import uuid4

from openenv.environment import Environment
from openenv.errors import NotResetError
from openenv.models import State, StepResult

from ..models import PyExecObservation, ResetAction, RunCodeAction
from . import program
from .work_folder import WorkFolder, changed

MAX_STEPS = 20
REWARD_SUCCESS, REWARD_ERROR, REWARD_TIMEOUT = 1.0, -0.5, -1.0
TIMEOUT_EXIT_CODE = -1


class PythonExecEnvironment(Environment[RunCodeAction | ResetAction, PyExecObservation, State]):
    """Runs Python code. Reward 1.0 if it exits with 0, -0.5 if not, -1.0 on a timeout; 20 steps an episode."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self._folder: WorkFolder | None = None
        self._seed: int | None = None
        self._state = State()

    async def reset(self, seed: int | None = None, episode_id: str | None = None) -> PyExecObservation:
        """Make a new, empty work folder. The seed fixes the programs' hashes, and so the order of their sets."""
        await self.close()
        self._folder = await asyncio.to_thread(WorkFolder)
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
        if self._folder is None:
            raise NotResetError("There is no work folder yet: call reset() before step()")
        if isinstance(action, ResetAction):
            observation = await self.reset(self._seed, self._state.episode_id)
            return StepResult(observation, reward=0.0)
        observation = await self._run(action, self._folder)
        self._state.step_count += 1
        last = self._state.step_count >= MAX_STEPS
        return StepResult(observation, reward=_reward(observation), truncated=last)

    @property
    def state(self) -> State:
        """The episode's id and its steps."""
        return self._state

    async def close(self) -> None:
        """Remove the work folder."""
        folder, self._folder = self._folder, None
        if folder is not None:
            await asyncio.to_thread(folder.remove)

    async def _run(self, action: RunCodeAction, folder: WorkFolder) -> PyExecObservation:
        script = f"step_{self._state.step_count}.py"
        await asyncio.to_thread(folder.put, script, action.code.encode(errors="surrogatepass"))
        before = await asyncio.to_thread(folder.files)
        outcome = await program.run(
            [sys.executable, "-s", script],
            cwd=folder.work,
            env=self._variables(folder),
            timeout_s=action.timeout_seconds,
        )
        after = await asyncio.to_thread(folder.files)
        late = f"TimeoutError: execution exceeded {action.timeout_seconds:g} s" if outcome.timed_out else ""
        return PyExecObservation(
            stdout=outcome.stdout,
            stderr=outcome.stderr + late,
            exit_code=TIMEOUT_EXIT_CODE if outcome.timed_out else outcome.exit_code,
            timed_out=outcome.timed_out,
            execution_time_ms=outcome.seconds * 1000,
            files_changed=changed(before, after, besides=script),
        )

    def _variables(self, folder: WorkFolder) -> dict[str, str]:
        return {
            "PATH": os.defpath,
            "HOME": str(folder.work),
            "TMPDIR": str(folder.temporary),
            "PYTHONHASHSEED": str((self._seed or 0) % 2**32),
            "PYTHONUTF8": "1",
            "PYTHONUNBUFFERED": "1",  # what was printed before a kill is seen
            "PYTHONDONTWRITEBYTECODE": "1",  # a compiled module is no file that the agent changed
        }


def _reward(observation: PyExecObservation) -> float:
    if observation.timed_out:
        return REWARD_TIMEOUT
    return REWARD_ERROR if observation.exit_code else REWARD_SUCCESS
