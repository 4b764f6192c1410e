"""Runs an agent's Python in an interpreter that is held, and grades what it submits by tests that it never sees.

A reset without a task is free play: nothing is graded, and nothing ends the episode. With a task, the hidden tests
are run once, after the last step, on all that the agent has run so far; that is the only step with a reward.
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from openenv.environment import Environment, Transform
from openenv.errors import NotResetError, WorkspaceLostError
from openenv.execution import Execution, Workspace
from openenv.models import StepResult

from ..models import CodeAction, CodeError, CodeObservation, CodeState
from .grading import Step, grade, run_program
from .interpreters import Interpreter, backend_of, interpreter
from .tasks import SHIPPED, ProgramTest, Task, load

MAX_STEPS = 20
TIMEOUT_S = 10.0
ANSWER_S = 0.5
"""Seconds of a step that are not the code's, where the trainer limits the step."""


class CodingEnvironment(Environment[CodeAction, CodeObservation, CodeState]):
    """Runs Python with variables that stay; with a task, the reward is the share of hidden tests that pass.

    Args:
        interpreter: What runs the code: `python` or `smolagents`.
        tasks: A folder of tasks; those that are shipped by default.
        transform: Applied to the observations of steps, such as a penalty.
        max_steps: Steps that an episode with a task may have.
        timeout_s: Seconds that a step may take, unless its action says otherwise.

    Raises:
        ConfigurationError: There is no such interpreter, or it is not installed, or the folder holds no tasks.
        IsolationError: Nothing here can hold what an agent wrote.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(
        self,
        interpreter: str = "python",
        tasks: str | Path = SHIPPED,
        transform: Transform[CodeObservation] | None = None,
        *,
        max_steps: int = MAX_STEPS,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        super().__init__(transform=transform)
        self._backend = backend_of(interpreter)
        self._tasks = load(tasks)
        self._name = interpreter
        self._max_steps = max_steps
        self._timeout_s = timeout_s
        self._workspace: Workspace | None = None
        self._interpreter: Interpreter | None = None
        self._task: Task | None = None
        self._steps: list[Step] = []
        self._state = CodeState(interpreter=interpreter)

    async def reset(
        self, seed: int | None = None, episode_id: str | None = None, task_id: str | None = None
    ) -> CodeObservation:
        """Start with no variables and an empty folder.

        Args:
            seed: Draws a task.
            episode_id: The episode's id.
            task_id: Names the task. With neither this nor a seed there is none.

        Raises:
            InvalidRequestError: There is no such task.
        """
        task = self._tasks.named(task_id) if task_id else self._tasks.drawn(seed) if seed is not None else None
        self._workspace = await self._empty_workspace()
        self._interpreter = interpreter(self._name, self._workspace)
        self._task = task
        self._steps = []
        name = task.id if task else None
        self._state = CodeState(episode_id=episode_id or uuid4().hex, task_id=name, interpreter=self._name)
        return CodeObservation(prompt=task.shown() if task else "", task_id=name)

    async def step(self, action: CodeAction, timeout_s: float | None = None) -> StepResult[CodeObservation]:
        """Run the code; after the last step, run the hidden tests."""
        if self._interpreter is None:
            raise NotResetError("There is no interpreter yet: call reset() before step()")
        seconds = action.timeout_s or self._timeout_s
        if timeout_s is not None:  # the server ends the whole environment then; code is better stopped before
            seconds = min(seconds, max(timeout_s / 2, timeout_s - ANSWER_S))
        execution = await self._run(self._interpreter, action, seconds)
        observation = _seen(execution)
        observation.task_id = self._state.task_id
        step = Step(action.code, seconds)
        task = self._task
        if task is not None:
            self._remember(step, execution)
        is_over = task is not None and self._state.step_count + 1 >= self._max_steps
        if task is not None and (action.submit or is_over):
            passed = await grade(self._backend, self._name, task, [step] if task.is_program else self._steps)
            observation.tests_passed, observation.tests_total = passed, len(task.tests)
            observation.reward = passed / len(task.tests)
        self._state.step_count += 1
        self._state.last_exit_code = observation.exit_code
        observation = self._apply_transform(observation)
        return StepResult(
            observation,
            reward=observation.reward,
            terminated=action.submit,
            truncated=is_over and not action.submit,
        )

    @property
    def state(self) -> CodeState:
        """The episode's id, its steps, its task and the latest exit code."""
        return self._state

    async def close(self) -> None:
        """End the interpreter and remove the folder."""
        workspace, self._workspace = self._workspace, None
        self._interpreter = None
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
        return await self._backend.open()

    async def _run(self, within: Interpreter, action: CodeAction, seconds: float) -> Execution:
        """Run the code; what is submitted as a program is run on the first example's input, where it is graded."""
        task = self._task
        if not action.submit or task is None or not task.is_program:
            return await within.run(action.code, seconds)
        stdin = next((test.stdin for test in task.examples if isinstance(test, ProgramTest)), "")
        async with await self._backend.open() as fresh:
            return await run_program(fresh, action.code, stdin, seconds)

    def _remember(self, step: Step, execution: Execution) -> None:
        """Note what has to be run again to have the same variables; what ran out of time cannot be."""
        if execution.context_lost:
            self._steps.clear()
        elif not execution.timed_out:
            self._steps.append(step)


def _seen(execution: Execution) -> CodeObservation:
    error = execution.error
    return CodeObservation(
        stdout=execution.stdout,
        stderr=execution.stderr,
        exit_code=execution.returncode,
        error=CodeError(type=error.type, message=error.message) if error else None,
        value=execution.value,
        timed_out=execution.timed_out,
        context_lost=execution.context_lost,
        killed_for=execution.killed_for,
        execution_time_ms=execution.seconds * 1000,
        peak_memory_bytes=execution.peak_memory_bytes,
        files_changed=list(execution.files_changed),
        bytes_cut=(execution.bytes_cut[0], execution.bytes_cut[1]),
    )
