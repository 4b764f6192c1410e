"""The SQL environment: statements of an agent against the database of its task, and the reward for the result.

The answer comes from a reference that is run by this server on a database of its own, so nothing in the agent's
database knows it. What is submitted is compared as a result: how it was arrived at does not matter.
"""

from pathlib import Path
from typing import ClassVar
from uuid import uuid4

from openenv.environment import Environment
from openenv.errors import ConfigurationError, InvalidRequestError, NotResetError
from openenv.models import StepResult

from ..drivers.capping import Caps, Kept
from ..models import SqlAction, SqlObservation, SqlState
from .engines import GRADED, Answer, Database, Engine
from .grading import same
from .sqlite import SqliteEngine
from .tasks import SHIPPED, Task, choose, load

MAX_QUERY_BYTES = 256 * 1024
MAX_STEPS = 30
CORRECT, WRONG = 1.0, 0.0


class SqlEnvironment(Environment[SqlAction, SqlObservation, SqlState]):
    """A database to query and to change. Reward 1.0 for the right result, 0.0 for another one, at the end.

    Args:
        engine: What makes the databases; None for SQLite.
        tasks: A folder of tasks; None for those that come with the package.
        statement_timeout_s: Seconds that a statement may take.
        max_steps: Steps of an episode; the last of them counts as submitted.
        max_rows: Rows of an observation.
        max_bytes: About how many bytes they may have in all.

    Raises:
        ConfigurationError: The folder has no tasks.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    _loaded: ClassVar[dict[Path, dict[str, Task]]] = {}
    _expected: ClassVar[dict[tuple[str, Task], Answer]] = {}

    def __init__(
        self,
        engine: Engine | None = None,
        *,
        tasks: Path | None = None,
        statement_timeout_s: float = 5.0,
        max_steps: int = MAX_STEPS,
        max_rows: int = 100,
        max_bytes: int = 32 * 1024,
    ) -> None:
        super().__init__()
        self._engine = engine or SqliteEngine()
        folder = tasks or SHIPPED
        if folder not in self._loaded:
            self._loaded[folder] = load(folder)
        self._tasks = self._loaded[folder]
        self._timeout_s = statement_timeout_s
        self._max_steps = max_steps
        self._caps = Caps(rows=max_rows, bytes=max_bytes, cell=max(max_bytes // 8, 64))
        self._database: Database | None = None
        self._task: Task | None = None
        self._state = SqlState(dialect=self._engine.dialect)

    async def reset(
        self, seed: int | None = None, episode_id: str | None = None, task_id: str | None = None
    ) -> SqlObservation:
        """Make the database of a task anew.

        Args:
            seed: Chooses the task, unless it is named.
            episode_id: The id that the episode shall have.
            task_id: The name of the task.

        Raises:
            InvalidRequestError: There is no such task.
            WorkspaceLostError: The database cannot be made.
        """
        task = choose(self._tasks, seed) if task_id is None else self._tasks.get(task_id)
        if task is None:
            raise InvalidRequestError(f"There is no task {task_id!r}. There are: {', '.join(sorted(self._tasks))}")
        self._task = None
        if self._database is None:
            self._database = await self._engine.open()
        tables = await self._database.build(task.script)
        self._task = task
        self._state = SqlState(
            episode_id=episode_id or uuid4().hex, step_count=0, task_id=task.id, dialect=self._engine.dialect
        )
        return SqlObservation(
            task_id=task.id, instruction=task.instruction, dialect=self._engine.dialect, tables=tables
        )

    async def step(self, action: SqlAction) -> StepResult[SqlObservation]:
        """Run a statement; if it is submitted, or the last one, grade what came of it."""
        if self._database is None or self._task is None:
            raise NotResetError("There is no database yet: call reset() before step()")
        last = self._state.step_count + 1 >= self._max_steps
        graded = action.submit or last
        answer = await self._run(self._database, action.query, GRADED if graded else self._caps)
        reward = await self._grade(self._database, self._task, answer) if graded else None
        self._state.step_count += 1
        return StepResult(
            self._seen(answer),
            reward=reward,
            terminated=action.submit,
            truncated=last and not action.submit,
        )

    @property
    def state(self) -> SqlState:
        """The episode's id, its task and its steps."""
        return self._state

    async def close(self) -> None:
        """Remove the database."""
        database, self._database, self._task = self._database, None, None
        if database is not None:
            await database.close()

    async def _run(self, database: Database, query: str, caps: Caps) -> Answer:
        if reason := _unfit(query):
            return {"error": {"type": "InvalidQuery", "message": reason}}
        return await database.query(query, caps, self._timeout_s)

    # --- the reward ------------------------------------------------------------------------------

    async def _grade(self, database: Database, task: Task, answer: Answer) -> float:
        expected = await self._answer_to(task)
        if task.changes:
            contents = await database.contents(task.changes, self._timeout_s)
            return CORRECT if _same_tables(contents, expected) else WRONG
        whole = not (answer.get("error") or answer.get("more") or answer.get("cut"))
        right = whole and same(answer["rows"], expected["rows"], ordered=task.ordered)
        return CORRECT if right else WRONG

    async def _answer_to(self, task: Task) -> Answer:
        """Return what the reference gives, on a database of its own: a result, or tables by name."""
        key = (self._engine.dialect, task)
        if key not in self._expected:
            database = await self._engine.open()
            try:
                await database.build(task.script)
                for statement in task.reference:
                    found = await database.query(statement, GRADED, self._timeout_s)
                    if found.get("error") or found.get("more") or found.get("cut"):
                        raise ConfigurationError(f"The reference of {task.id} fails, or is too large: {found}")
                if task.changes:
                    found = await database.contents(task.changes, self._timeout_s)
                self._expected[key] = found
            finally:
                await database.close()
        return self._expected[key]

    # --- what the agent sees ---------------------------------------------------------------------

    def _seen(self, answer: Answer) -> SqlObservation:
        kept = Kept(self._caps)
        for row in answer.get("rows", ()):
            if not kept.add(row):
                break
        notes = []
        if kept.more or answer.get("more"):
            notes.append(f"Only the first {len(kept.rows)} rows are shown; there are more.")
        if cut := kept.cut or answer.get("cut"):
            notes.append(f"{cut} values were shortened.")
        if answer.get("lost"):
            notes.append("There is a new connection; what was not committed is undone.")
        return SqlObservation(
            task_id=self._state.task_id,
            dialect=self._state.dialect,
            columns=answer.get("columns", []),
            rows=kept.rows,
            rows_affected=answer.get("affected"),
            error=answer.get("error"),
            timed_out=answer.get("timed_out", False),
            in_transaction=answer.get("open", False),
            tables=answer.get("tables"),
            note=" ".join(notes),
        )


def _same_tables(found: Answer, expected: Answer) -> bool:
    return all(
        found.get(name) is not None and same(found[name], rows, ordered=False) for name, rows in expected.items()
    )


def _unfit(query: str) -> str:
    """Return why a query is not handed to a database; empty if it is."""
    if "\0" in query:
        return "the query has a NUL character in it"
    try:
        size = len(query.encode())
    except UnicodeEncodeError as error:
        return f"the query is no text: {error.reason} at position {error.start}"
    return f"the query has {size:,} bytes; {MAX_QUERY_BYTES:,} are allowed" if size > MAX_QUERY_BYTES else ""
