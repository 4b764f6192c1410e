"""Says how well a task was done, by its tests, once the agent can do nothing any more.

Three workspaces keep apart what must not meet. What is in the agent's is copied; the tests run in a second one, on
one copy, with an interpreter and a PATH that are the server's; what the agent wrote is run, if a test asks for it,
in a third, on another copy, without the tests. The verdict is put together here.
"""

from __future__ import annotations

import contextlib
import importlib.util
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openenv.errors import WorkspaceLostError
from openenv.execution import Backend, Limits, Workspace, backend

from ..models import TestOutcome
from .tasks import Task

MOST_BYTES = 128 * 1024 * 1024
MOST_TESTS = 1000
VARIABLES = {"GIT_CONFIG_NOSYSTEM": "1"}
_RUNNER = Path(__file__).with_name("runner.py").read_text("utf-8")

Open = Callable[[], Awaitable[Workspace]]


async def judge(task: Task, workspace: Workspace, open_another: Open) -> list[TestOutcome]:
    """Run the tests of a task on what is in a workspace, and return what came of them.

    Args:
        task: The task.
        workspace: Where the agent has worked; all that runs there is ended.
        open_another: Opens a workspace like it.

    Raises:
        WorkspaceLostError: The tests could not be run, which is no fault of the agent.
    """
    await workspace.stop()
    try:
        work = await workspace.pack(most_bytes=MOST_BYTES)
    except OSError as error:
        return [TestOutcome(name="the work folder", passed=False, message=f"It cannot be copied: {error}")]
    files = [str(path) for path in task.test_files()]
    scripts = task.test_scripts()
    async with contextlib.AsyncExitStack() as held:
        tests = await held.enter_async_context(await _backend(task).open())
        await tests.unpack(work, "work")
        if not files:
            return [await _script(tests, script, task) for script in scripts]
        verdict = _Verdict(_Elsewhere(held, open_another, work))
        arguments = ["work", str(task.tests), files, verdict.word]
        called = f"\nmain(*{arguments!r}, run_elsewhere, planned, ended)\n"
        functions = {"run_elsewhere": verdict.elsewhere.run, "planned": verdict.planned, "ended": verdict.ended}
        done = await tests.python(_RUNNER + called, timeout_s=task.test_timeout_s, functions=functions)
        if done.error is not None:
            raise WorkspaceLostError(f"The tests of {task.id} could not be run: {done.error.traceback[-2000:]}")
        return verdict.outcomes("The time of the tests was up" if done.timed_out else "")


def _backend(task: Task) -> Backend:
    packages = ["pytest"] if importlib.util.find_spec("pytest") is not None else []
    limits = Limits(timeout_s=task.test_timeout_s)
    return backend(limits, packages=packages, read=[task.tests, *task.test_scripts()], env=VARIABLES)


async def _script(tests: Workspace, script: Path, task: Task) -> TestOutcome:
    """Run a test that is a shell script; it passes with exit status 0."""
    command = ["/bin/bash", "--noprofile", "--norc", str(script)]
    done = await tests.run(command, folder="work", env={"TEST_DIR": str(task.tests)}, timeout_s=task.test_timeout_s)
    message = "" if done.ok else f"exit status {done.exit_code}: {(done.stdout + done.stderr)[-500:]}"
    return TestOutcome(name=script.name, passed=done.ok, message=message)


class _Elsewhere:
    """The workspace in which tests run what the agent wrote, opened when the first of them does."""

    def __init__(self, held: contextlib.AsyncExitStack, open_another: Open, work: bytes) -> None:
        self._held, self._open, self._work = held, open_another, work
        self._workspace: Workspace | None = None

    async def run(self, command: str, stdin: str, timeout_s: float) -> dict[str, Any]:
        """Run a command line, and return what came of it."""
        if self._workspace is None:
            self._workspace = await self._held.enter_async_context(await self._open())
            await self._workspace.unpack(self._work)
        done = await self._workspace.run(command, stdin=stdin, timeout_s=timeout_s)
        seen = {
            "stdout": done.stdout,
            "stderr": done.stderr,
            "exit_code": done.exit_code,
            "timed_out": done.timed_out,
        }
        return seen


@dataclass
class _Verdict:
    """What the tests have said so far; a test that says nothing has failed."""

    elsewhere: _Elsewhere
    word: str = field(default_factory=secrets.token_hex)
    _named: dict[str, TestOutcome | None] = field(default_factory=dict)

    def planned(self, word: str, names: list[str]) -> None:
        """Take the names of all tests."""
        if secrets.compare_digest(word, self.word) and not self._named:
            self._named = dict.fromkeys(names[:MOST_TESTS])

    def ended(self, word: str, name: str, passed: bool, message: str) -> None:
        """Take what came of one test; the worse counts if one is told twice."""
        if not secrets.compare_digest(word, self.word) or name not in self._named:
            return
        before = self._named[name]
        if before is None or before.passed:
            self._named[name] = TestOutcome(name=name, passed=passed is True, message=message)

    def outcomes(self, otherwise: str) -> list[TestOutcome]:
        """Return what came of each test.

        Args:
            otherwise: Why one may have said nothing.
        """
        silent = f"It did not end. {otherwise}".strip()
        if not self._named:
            return [TestOutcome(name="the tests", passed=False, message=silent)]
        return [
            outcome or TestOutcome(name=name, passed=False, message=silent) for name, outcome in self._named.items()
        ]
