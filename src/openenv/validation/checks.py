"""Named checks, and what comes of running them.

A check is a function that returns if all is well and raises `CheckFailed` or `CheckSkipped` if not. Its name is its
group and its function's name, its docstring is its help. A check with cases is one check for each of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Generic, TypeVar

from openenv.errors import ConfigurationError

__all__ = ["Check", "CheckFailed", "CheckSkipped", "Checks", "Result", "Verdict", "run", "select"]

SubjectT = TypeVar("SubjectT")


class CheckFailed(Exception):
    """What was found is not what has to be.

    Attributes:
        expected: What has to be.
        got: What was found.
    """

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}; got {got}")
        self.expected = expected
        self.got = got


class CheckSkipped(Exception):
    """The check says nothing about this subject; the message says why."""


class Verdict(StrEnum):
    """What came of a check."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Check(Generic[SubjectT]):
    """One check of a subject.

    Attributes:
        group: What it belongs to.
        name: Group, function, and in brackets its case.
        help: What it is about.
        function: Does it.
    """

    group: str
    name: str
    help: str
    function: Callable[[SubjectT], None]


@dataclass(frozen=True)
class Result:
    """What came of one check.

    Attributes:
        group: The check's.
        name: The check's.
        verdict: Whether it held.
        expected: What had to be, if it failed.
        got: What was found, if it failed.
        why: Why it was skipped.
        seconds: How long it took.
    """

    group: str
    name: str
    verdict: Verdict
    expected: str = ""
    got: str = ""
    why: str = ""
    seconds: float = 0.0


class Checks(Generic[SubjectT]):
    """The checks of one group, collected by decorators.

    Args:
        group: Its name, with which the names of its checks begin.
    """

    def __init__(self, group: str) -> None:
        self.group = group
        self._checks: list[Check[SubjectT]] = []

    def __iter__(self) -> Iterator[Check[SubjectT]]:
        return iter(self._checks)

    def check(self, function: Callable[[SubjectT], None]) -> Callable[[SubjectT], None]:
        """Add a check; a decorator."""
        self._add(function.__name__, function.__doc__, function)
        return function

    def each(self, cases: Mapping[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Add a check for each of some named cases, which it is called with after the subject; a decorator."""

        def add(function: Callable[..., None]) -> Callable[..., None]:
            for name, case in cases.items():
                self._add(f"{function.__name__}[{name}]", function.__doc__, _bound(function, case))
            return function

        return add

    def _add(self, name: str, doc: str | None, function: Callable[[SubjectT], None]) -> None:
        text = " ".join((doc or "").split())
        self._checks.append(Check(self.group, f"{self.group}.{name}", text, function))


def _bound(function: Callable[..., None], case: Any) -> Callable[[Any], None]:
    return lambda subject: function(subject, case)


def select(
    checks: Sequence[Check[SubjectT]], only: Sequence[str] = (), skip: Sequence[str] = ()
) -> list[Check[SubjectT]]:
    """Return the checks whose names match one of the patterns, and none of those to leave out.

    Args:
        checks: All of them.
        only: Names with shell wildcards; none means all.
        skip: Names to leave out, likewise.

    Raises:
        ConfigurationError: A pattern matches nothing.
    """
    for pattern in (*only, *skip):
        if not any(_matches(check, pattern) for check in checks):
            raise ConfigurationError(f"No check is called {pattern!r}; --list shows their names")
    wanted = [check for check in checks if not only or any(_matches(check, pattern) for pattern in only)]
    return [check for check in wanted if not any(_matches(check, pattern) for pattern in skip)]


def _matches(check: Check[Any], pattern: str) -> bool:
    literal = pattern.replace("[", "[[]")  # the brackets of a case are no character class
    return fnmatchcase(check.name, literal) or check.name.startswith(f"{pattern}[")


def run(
    checks: Sequence[Check[SubjectT]], subject: SubjectT, after_each: Callable[[], None] = lambda: None
) -> Iterator[Result]:
    """Run checks one after the other and yield what comes of each.

    Args:
        checks: What to check.
        subject: What is checked.
        after_each: Called after each check, to clean up behind it.
    """
    for check in checks:
        started = time.monotonic()
        verdict, told = Verdict.OK, {}
        try:
            try:
                check.function(subject)
            finally:
                after_each()
        except CheckFailed as failed:
            verdict, told = Verdict.FAILED, {"expected": failed.expected, "got": failed.got}
        except CheckSkipped as skipped:
            verdict, told = Verdict.SKIPPED, {"why": str(skipped)}
        except Exception as error:  # the subject did what nobody thought of
            verdict = Verdict.FAILED
            told = {"expected": "an answer", "got": f"{type(error).__name__}: {error}"}
        yield Result(check.group, check.name, verdict, seconds=time.monotonic() - started, **told)
