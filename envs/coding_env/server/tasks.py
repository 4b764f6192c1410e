"""Tasks: what the agent is told, and the tests that it never sees.

A test is in two halves: what is evaluated beside the agent's code, and what has to come of it. The second stays
in the server's process, so code that looks at everything there is finds no answer. That is why an assertion is not
run as it stands but taken apart, where its form allows it.
"""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from openenv.errors import ConfigurationError, InvalidRequestError

SHIPPED = "shipped"
_CONVERSIONS = {"set": set, "frozenset": frozenset, "tuple": tuple, "list": list, "dict": dict, "float": float}


@dataclass(frozen=True)
class CallTest:
    """An expression that is evaluated where the agent's code has run, and the value it has to have.

    Attributes:
        expression: Python source.
        expected: The value, compared with `==` in the server's process.
    """

    expression: str
    expected: Any


@dataclass(frozen=True)
class ProgramTest:
    """An input for the agent's code as a program, and the output it has to write.

    Attributes:
        stdin: The input.
        stdout: The output; spaces at the ends of lines, and empty lines at the end, make no difference.
    """

    stdin: str
    stdout: str


Test = CallTest | ProgramTest


@dataclass(frozen=True)
class Task:
    """Something to write.

    Attributes:
        id: Its name.
        prompt: What the agent is told.
        entry_point: The function to write; empty if it is a program that reads its input.
        examples: Tests that the agent is told, too.
        tests: Those that it is graded by.
    """

    id: str
    prompt: str
    entry_point: str
    examples: tuple[Test, ...]
    tests: tuple[Test, ...]

    @property
    def is_program(self) -> bool:
        """Whether what is submitted is run as a program, once for each test."""
        return isinstance(self.tests[0], ProgramTest)

    def shown(self) -> str:
        """Return the prompt with the public examples."""
        what = f"Write the function {self.entry_point}." if self.entry_point else "Submit a whole program."
        is_said = bool(self.entry_point) and self.entry_point in self.prompt
        return "\n\n".join([self.prompt, *([] if is_said else [what]), *map(_shown, self.examples)])


@dataclass(frozen=True)
class Tasks:
    """The tasks of an environment, by name."""

    by_id: Mapping[str, Task]

    def named(self, name: str) -> Task:
        """Return a task.

        Raises:
            InvalidRequestError: There is none of that name.
        """
        if name not in self.by_id:
            raise InvalidRequestError(f"There is no task {name!r}; there are {', '.join(self.by_id)}")
        return self.by_id[name]

    def drawn(self, seed: int) -> Task:
        """Return a task; the same seed gives the same one."""
        return self.by_id[random.Random(seed).choice(sorted(self.by_id))]


def read_task(data: Mapping[str, Any]) -> Task:
    """Return the task that an object of JSON describes.

    `tests` and `examples` are lists of comparisons as text, such as `"gcd(12, 18) == 6"`, with or without `assert`
    in front; or of objects `{"stdin": ..., "stdout": ...}`. A task has tests of one kind.

    Raises:
        ValueError: It is no task; the message says what is missing.
    """
    name = data.get("id")
    missing = [key for key in ("id", "prompt", "tests") if not data.get(key)]
    if missing:
        raise ValueError(f"the task {name!r} has no {' and no '.join(missing)}")
    tests = tuple(map(read_test, data["tests"]))
    examples = tuple(map(read_test, data.get("examples", ())))
    if len({type(test) for test in (*tests, *examples)}) > 1:
        raise ValueError(f"the task {name!r} has tests of both kinds; make two tasks of it")
    entry_point = data.get("entry_point", "")
    if isinstance(tests[0], CallTest) and not entry_point:
        raise ValueError(f"the task {name!r} has no entry_point, the name of the function to write")
    return Task(data["id"], data["prompt"], entry_point, examples, tests)


def read_test(data: str | Mapping[str, str]) -> Test:
    """Return the test that a comparison, or an input with its output, describes.

    Of `EXPRESSION == LITERAL`, and of an expression on its own, only the expression is evaluated beside the agent's
    code. Whatever else can be asserted is evaluated there as a whole: code can then read what is expected, or
    return an object that equals everything.

    Raises:
        ValueError: It is no test.
    """
    if not isinstance(data, str):
        return ProgramTest(data["stdin"], data["stdout"])
    try:
        tree = ast.parse(data.strip()).body
    except SyntaxError as error:
        raise ValueError(f"the test {data!r} is no Python: {error}") from error
    if len(tree) != 1 or not isinstance(tree[0], ast.Assert | ast.Expr):
        raise ValueError(f"the test {data!r} is neither a comparison nor an assertion")
    asserted = tree[0].test if isinstance(tree[0], ast.Assert) else tree[0].value
    if (
        isinstance(asserted, ast.Compare)
        and len(asserted.ops) == 1
        and isinstance(asserted.ops[0], ast.Eq | ast.Is)
    ):
        for side, other in ((asserted.left, asserted.comparators[0]), (asserted.comparators[0], asserted.left)):
            try:
                return CallTest(ast.unparse(side), _constant(other))
            except ValueError:
                continue
    if isinstance(asserted, ast.UnaryOp) and isinstance(asserted.op, ast.Not):
        return CallTest(f"bool({ast.unparse(asserted.operand)})", False)
    return CallTest(f"bool({ast.unparse(asserted)})", True)


def load(place: str | Path) -> Tasks:
    """Return the tasks in a folder: every `*.json` there holds one, or a list of them.

    Args:
        place: The folder; `shipped` for those that come with the environment.

    Raises:
        ConfigurationError: There is no task, or a file holds none.
    """
    if str(place) == SHIPPED:
        return _shipped()
    found: dict[str, Task] = {}
    for file in sorted(Path(place).glob("*.json")):
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            tasks = [read_task(one) for one in (data if isinstance(data, list) else [data])]
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise ConfigurationError(f"{file} holds no task: {error}") from error
        found |= {task.id: task for task in tasks}
    if not found:
        raise ConfigurationError(f"{place} holds no tasks: files that end with .json, each with a task or a list")
    return Tasks(found)


@cache
def _shipped() -> Tasks:
    from .shipped import TASKS

    return Tasks({one["id"]: read_task(one) for one in TASKS})


def _constant(node: ast.expr) -> Any:
    """Return what a literal stands for, or one in a conversion such as `set([1, 2])`, else raise ValueError."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CONVERSIONS:
        if node.keywords or len(node.args) > 1:
            raise ValueError
        return _CONVERSIONS[node.func.id](*map(ast.literal_eval, node.args))
    return ast.literal_eval(node)


def _shown(example: Test) -> str:
    if isinstance(example, CallTest):
        return f">>> {example.expression}\n{example.expected!r}"
    return f"Input:\n{example.stdin}\nOutput:\n{example.stdout}"


def passes(test: CallTest, value: str | None) -> bool:
    """Whether what an interpreter says of a value, as text, is what was expected.

    Args:
        test: The test.
        value: `repr` of the value; None for None. It may be anything that the agent's code has made up.
    """
    try:
        found = None if value is None else ast.literal_eval(value)
        return bool(found == test.expected)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False


def same_output(found: str, expected: str) -> bool:
    """Whether two outputs are the same but for spaces at the ends of lines and empty lines at the end."""
    return _lines(found) == _lines(expected)


def _lines(text: str) -> Sequence[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]
