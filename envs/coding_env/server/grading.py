"""Runs a task's hidden tests on what was submitted, in a workspace that the agent has never been in.

The agent's steps are run there again, so its functions are there; then each test's expression is, and its value
comes back as text. What it has to be never goes in.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from openenv.execution import Backend, Execution, Workspace

from .interpreters import Interpreter, interpreter
from .tasks import CallTest, ProgramTest, Task, passes, same_output

TEST_TIMEOUT_S = 10.0
BUDGET_S = 30.0
"""Seconds that all tests together may take; those that are left then have failed."""
PROGRAM = "solution.py"


class Step(NamedTuple):
    """A step that is part of what is submitted.

    Attributes:
        code: What was run.
        timeout_s: Seconds it might take.
    """

    code: str
    timeout_s: float


async def grade(held_by: Backend, name: str, task: Task, steps: Sequence[Step]) -> int:
    """Return how many of a task's tests pass.

    Args:
        held_by: What opens the workspace.
        name: Of the interpreter.
        task: The task.
        steps: What was submitted; a program is one step.

    Raises:
        WorkspaceLostError: The workspace has ended, which no code in it can bring about.
    """
    async with await held_by.open() as workspace:
        return await Grading(interpreter(name, workspace), task, steps).passed()


async def run_program(fresh: Workspace, code: str, stdin: str, timeout_s: float) -> Execution:
    """Run code as a program that reads its input, by CPython whatever the interpreter."""
    with contextlib.suppress(OSError):  # whatever it has put in its own place when it was run before
        await fresh.remove(PROGRAM)
    await fresh.write(PROGRAM, code.encode("utf-8", "surrogatepass"))
    return await fresh.run([sys.executable, "-s", PROGRAM], stdin=stdin, timeout_s=timeout_s)


class Grading:
    """One submission and the tests of its task.

    Args:
        within: An interpreter without variables.
        task: The task.
        steps: What was submitted.
    """

    def __init__(self, within: Interpreter, task: Task, steps: Sequence[Step]) -> None:
        self._within = within
        self._task = task
        self._steps = steps
        self._deadline = asyncio.get_running_loop().time() + BUDGET_S

    async def passed(self) -> int:
        """Return how many tests pass."""
        count = 0
        lost = True
        for test in self._task.tests:
            if isinstance(test, CallTest) and lost:  # at first, and when a test has ended the interpreter
                await self._play_steps()
            if self._left(TEST_TIMEOUT_S) <= 0:
                break
            passed, lost = await self._try(test)
            count += passed
        return count

    async def _try(self, test: CallTest | ProgramTest) -> tuple[bool, bool]:
        seconds = self._left(TEST_TIMEOUT_S)
        if isinstance(test, CallTest):
            ran = await self._within.run(test.expression, seconds)
            plain = ran.is_plain or ran.value is None
            passed = ran.ok and ran.error is None and not ran.context_lost and plain and passes(test, ran.value)
            return passed, ran.context_lost
        try:
            ran = await run_program(self._within.workspace, self._steps[-1].code, test.stdin, seconds)
        except OSError:  # it has filled the disk
            return False, False
        return ran.ok and not any(ran.bytes_cut) and same_output(ran.stdout, test.stdout), False

    async def _play_steps(self) -> None:
        for step in self._steps:
            if (seconds := self._left(step.timeout_s)) <= 0:
                return
            await self._within.run(step.code, seconds)

    def _left(self, wanted: float) -> float:
        return min(wanted, self._deadline - asyncio.get_running_loop().time())
