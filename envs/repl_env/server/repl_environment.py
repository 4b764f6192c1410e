"""A long text as a variable in an interpreter, code over it, a final answer: the recursive language model pattern.

The text never passes through the agent's own context: it goes into the workspace as a file, and of what the code
prints only so much is shown. The answer is compared here; it is not where the code runs.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from random import SystemRandom
from typing import Any, ClassVar
from uuid import uuid4

from openenv.environment import Environment
from openenv.errors import NotResetError, WorkspaceLostError
from openenv.execution import Backend, Execution, Limits, Workspace, backend
from openenv.models import State, StepResult

from ..models import ReplAction, ReplObservation
from .sub_model import Queries, QueryLimits, SubModel
from .tasks import Task, make_task

PRELUDE = Path(__file__).with_name("prelude.py").read_text()
PRELUDE_S = 60.0
SIZE = 200_000
MAX_STEPS = 20
SHOWN_CHARACTERS = 8_000
STEP_S = 60.0
MOST = 2**53
ANSWER_CHARACTERS = 100_000


class ReplEnvironment(Environment[ReplAction, ReplObservation, State]):
    """Questions about a text too long to be read, answered by code over it. Reward 1.0 if right, else 0.0.

    Args:
        sub_model: What `llm_query` asks: an async function from a prompt to an answer. None: the code is told that
            there is none.
        query_limits: How much it may be asked.
        max_steps: Steps of an episode; an episode without an answer by then is graded 0.0.
        shown_characters: What is shown of each output of a step.
        step_s: Seconds that the code of a step may take, queries included.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True
    _backend: ClassVar[Backend | None] = None

    def __init__(
        self,
        sub_model: SubModel | None = None,
        *,
        query_limits: QueryLimits | None = None,
        max_steps: int = MAX_STEPS,
        shown_characters: int = SHOWN_CHARACTERS,
        step_s: float = STEP_S,
    ) -> None:
        super().__init__()
        self._sub_model = sub_model
        self._query_limits = query_limits or QueryLimits()
        self._max_steps = max_steps
        self._shown = shown_characters
        self._step_s = step_s
        self._workspace: Workspace | None = None
        self._task: Task
        self._queries: Queries
        self._answers: list[str | float] = []
        self._state = State()

    async def reset(
        self,
        seed: int | None = None,
        task: str | None = None,
        size: int = SIZE,
        episode_id: str | None = None,
    ) -> ReplObservation:
        """Make a text and a question, and an interpreter that has the text.

        Args:
            seed: The same one makes the same text and question.
            task: `needle`, `counting` or `join_two_facts`; drawn if none is named.
            size: Characters of the text, about; up to 8,000,000.
            episode_id: The id the episode shall have.

        Raises:
            InvalidRequestError: There is no such task, or the size is not allowed.
        """
        seed = SystemRandom().getrandbits(32) if seed is None else seed
        self._task = await asyncio.to_thread(make_task, task, size, seed)
        self._queries = Queries(self._sub_model, self._query_limits)
        self._answers = []
        await self._begin(await self._emptied())
        self._state = State(episode_id=episode_id or uuid4().hex, step_count=0)
        return self._observation()

    async def step(self, action: ReplAction) -> StepResult[ReplObservation]:
        """Run the code. The first final answer ends the episode."""
        workspace = self._workspace
        if workspace is None:
            raise NotResetError("There is no context yet: call reset() before step()")
        self._state.step_count += 1
        shown = await self._run(workspace, action.code) if action.code else {}
        if action.final_answer is not None:
            self._answer(action.final_answer)
        observation = self._observation(**shown)
        if self._answers:
            observation.final_answer = self._answers[0]
            return StepResult(observation, self._task.reward(self._answers[0]), terminated=True)
        if not observation.steps_left:
            return StepResult(observation, 0.0, truncated=True)
        return StepResult(observation)

    @property
    def state(self) -> State:
        """The episode's id and its steps."""
        return self._state

    async def close(self) -> None:
        """End the interpreter and all it has started."""
        workspace, self._workspace = self._workspace, None
        if workspace is not None:
            await workspace.close()

    async def _emptied(self) -> Workspace:
        """Return the workspace, as new."""
        cls = type(self)
        if self._workspace is None:
            if cls._backend is None:
                cls._backend = backend(Limits(output_bytes=1024 * 1024), preload=("json", "re", "collections"))
            self._workspace = await cls._backend.open()
        else:
            await self._workspace.reset()
        return self._workspace

    async def _begin(self, workspace: Workspace) -> None:
        """Give the interpreter the text, whatever was done to its file.

        Raises:
            WorkspaceLostError: It cannot be given.
        """
        await workspace.write("context.txt", self._task.context)
        begun = await workspace.python(PRELUDE, timeout_s=PRELUDE_S)
        if not begun.ok:
            raise WorkspaceLostError(f"The interpreter cannot be given the context: {begun.stderr[-2000:]}")

    async def _run(self, workspace: Workspace, code: str) -> Mapping[str, Any]:
        done = await workspace.python(
            code,
            timeout_s=self._step_s,
            functions={"_llm_queries": self._queries.ask, "_final": self._answer},
        )
        shown = {**self._seen(done), "queries": self._queries.end_step()}
        if done.context_lost and not self._answers:
            await workspace.reset()  # what the code did to the folder must not keep the text out of it
            await self._begin(workspace)
        return shown

    def _answer(self, value: object) -> None:
        """Take a final answer, the first one; the code may call it with anything."""
        if not self._answers:
            self._answers.append(_plain(value))

    def _seen(self, done: Execution) -> dict[str, Any]:
        """Return what is shown of what the code did."""
        texts = {"stdout": done.stdout, "stderr": done.stderr, "value": done.value or ""}
        shown = {name: _shortened(text, self._shown) for name, text in texts.items()}
        return {
            **shown,
            "value": shown["value"] if done.value is not None else None,
            "error": done.error.type if done.error else None,
            "timed_out": done.timed_out,
            "context_lost": done.context_lost,
            "characters_cut": sum(done.bytes_cut) + sum(max(0, len(text) - self._shown) for text in texts.values()),
        }

    def _observation(self, **shown: Any) -> ReplObservation:
        return ReplObservation(
            task_id=self._task.id,
            question=self._task.question,
            context_characters=len(self._task.context),
            queries_left=self._queries.left,
            steps_left=max(0, self._max_steps - self._state.step_count),
            **shown,
        )


def _plain(value: object) -> str | float:
    """Return a number that any reader of JSON takes as it is, or else a text."""
    if isinstance(value, int | float) and abs(value) < MOST:  # infinity and what is no number are not
        return value
    return str(value).encode("utf-8", "replace").decode()[:ANSWER_CHARACTERS]


def _shortened(text: str, most: int) -> str:
    """Return a text that is no longer than so many characters and a note."""
    text = text.encode("utf-8", "replace").decode()
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters are not shown ...]\n{text[len(text) - half :]}"
