"""A notebook: cells run in a kernel of Jupyter, held in a workspace; what is handed in is graded from outside."""

import os
from random import Random, SystemRandom
from typing import Any, ClassVar
from uuid import uuid4

from openenv.environment import Environment
from openenv.errors import NotResetError, WorkspaceLostError
from openenv.execution import WarmFork, Workspace
from openenv.models import State, StepResult

from ..models import Cell, JupyterAction, JupyterObservation
from .kernel import Kernel, backend
from .tasks import SHIPPED, HandedIn, Task, choose, folder_tasks

MAX_STEPS = 30


class JupyterEnvironment(Environment[JupyterAction, JupyterObservation, State]):
    """Runs cells of a notebook in a real kernel. The work is graded from 0 to 1 when it is handed in.

    Args:
        tasks: A folder with tasks of your own, beside those that are shipped; see `folder_tasks`.
        max_steps: Actions of an episode; the last one hands in.
        interrupt_grace_s: Seconds that a cell has to come back when it is interrupted, before the kernel is killed
            and its variables are lost.

    Raises:
        ConfigurationError: A task of the folder cannot be read.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True
    _backend: ClassVar[WarmFork | None] = None

    def __init__(
        self,
        tasks: str | os.PathLike[str] | None = None,
        *,
        max_steps: int = MAX_STEPS,
        interrupt_grace_s: float = 0.1,
    ) -> None:
        super().__init__()
        self._tasks = {**SHIPPED, **(folder_tasks(tasks) if tasks else {})}
        self._max_steps = max_steps
        self._grace_s = interrupt_grace_s
        self._workspace: Workspace | None = None
        self._kernel: Kernel
        self._task: Task
        self._state = State()

    async def reset(
        self, seed: int | None = None, task_id: str | None = None, episode_id: str | None = None
    ) -> JupyterObservation:
        """Begin a task: an empty folder with its files, and a new kernel.

        Args:
            seed: Draws the numbers in the files, and the task if none is named.
            task_id: The name of a task.
            episode_id: The id the episode shall have.

        Raises:
            InvalidRequestError: There is no such task.
            WorkspaceLostError: No kernel can be started.
        """
        self._task = choose(self._tasks, task_id, Random(SystemRandom().random() if seed is None else seed))
        workspace = await self._emptied()
        for name, data in self._task.files.items():
            await workspace.write(name, data)
        self._kernel = Kernel(workspace, self._grace_s)
        if wrong := await self._kernel.start():
            raise WorkspaceLostError(wrong)
        self._state = State(episode_id=episode_id or uuid4().hex, step_count=0)
        return JupyterObservation(
            task_id=self._task.id, instructions=self._task.instructions, files=sorted(self._task.files)
        )

    async def step(self, action: JupyterAction) -> StepResult[JupyterObservation]:
        """Run the cells; hand in what there is, if that is asked for or this is the last step."""
        workspace = self._workspace
        if workspace is None:
            raise NotResetError("There is no notebook yet: call reset() before step()")
        if action.restart:
            await self._kernel.stop()
        restarted = not self._kernel.runs
        await self._kernel.start()
        cells = await self._run([*([action.code] if action.code else []), *action.cells], action.timeout_s)
        self._state.step_count += 1
        observation = JupyterObservation(
            task_id=self._task.id,
            cells=cells,
            kernel_restarted=restarted,
            message=""
            if self._kernel.runs
            else "The kernel has died; the next cell gets a new one, without variables",
        )
        last = self._state.step_count >= self._max_steps
        reward = await self._graded(workspace) if action.submit or last else None
        if reward is not None:
            observation.message = f"Handed in: {reward:g} of 1"
        return StepResult(observation, reward, terminated=action.submit, truncated=last and not action.submit)

    @property
    def state(self) -> State:
        """The episode's id and its steps."""
        return self._state

    async def close(self) -> None:
        """End the kernel and all it has started, and remove the folder."""
        workspace, self._workspace = self._workspace, None
        if workspace is not None:
            await workspace.close()

    async def _emptied(self) -> Workspace:
        """Return the workspace, as new."""
        cls = type(self)
        if self._workspace is None:
            if cls._backend is None:
                cls._backend = backend()
            self._workspace = await cls._backend.open()
        else:
            await self._workspace.reset()
        return self._workspace

    async def _run(self, sources: list[str], timeout_s: float) -> list[Cell]:
        cells: list[Cell] = []
        for source in sources:
            if cells and cells[-1].status != "ok":
                cells.append(Cell(status="skipped"))
            else:
                self.progress(len(cells) / len(sources), "running a cell")
                cells.append(await self._kernel.run(source, timeout_s))
        return cells

    async def _graded(self, workspace: Workspace) -> float:
        """Return the reward for what is there, once nothing of the agent's runs any more."""
        answer: Any = await self._kernel.value_of("answer")
        await self._kernel.stop()
        return await self._task.grade(HandedIn(workspace, answer))
