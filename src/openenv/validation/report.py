"""What checks came to, as a table for people and as plain values for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from openenv.validation.checks import Check, Result, Verdict

__all__ = ["as_data", "lines", "listing", "summary"]

Paint = Callable[[Verdict, str], str]

_WIDTH = len(Verdict.SKIPPED)


def lines(results: Sequence[Result], paint: Paint = lambda _verdict, text: text) -> Iterator[str]:
    """Yield the lines of a table: the checks by group, and beside those that did not hold why.

    The cases of one check that held share a line.

    Args:
        results: What came of each check.
        paint: Colours the word of a verdict.
    """
    for number, (group, found) in enumerate(groupby(results, key=lambda result: result.group)):
        yield from ("", group) if number else (group,)
        for name, alike in groupby(found, key=_shared_name):
            yield from _of_one_line(name.removeprefix(f"{group}."), list(alike), paint)


def _shared_name(result: Result) -> str:
    return result.name.partition("[")[0] if result.verdict is Verdict.OK else result.name


def _of_one_line(name: str, results: Sequence[Result], paint: Paint) -> Iterator[str]:
    verdict = results[0].verdict
    cases = f" ({len(results)} cases)" if len(results) > 1 else ""
    why = f": {results[0].why}" if results[0].why else ""
    yield f"  {paint(verdict, f'{verdict:{_WIDTH}}')}  {name}{cases}{why}"
    if verdict is Verdict.FAILED:
        indent = " " * (_WIDTH + 4)
        yield f"{indent}expected  {results[0].expected}"
        yield f"{indent}got       {results[0].got}"


def summary(results: Sequence[Result]) -> str:
    """Return how many checks held, failed and were skipped, and how long it took."""
    counts = Counter(result.verdict for result in results)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)
    return f"{told} ({sum(result.seconds for result in results):.1f} s)"


def as_data(results: Sequence[Result], **about: Any) -> dict[str, Any]:
    """Return the same as plain values: what it is about, the counts, and every check."""
    counts = Counter(result.verdict for result in results)
    checks = []
    for result in results:
        known = {name: value for name, value in asdict(result).items() if value != ""}
        checks.append({**known, "verdict": result.verdict.value, "seconds": round(result.seconds, 4)})
    return {**about, **{verdict.value: counts[verdict] for verdict in Verdict}, "checks": checks}


def listing(checks: Sequence[Check[Any]]) -> Iterator[str]:
    """Yield the name and the help of every check; those that differ in their case only share one."""
    told = ""
    for check in checks:
        name, _, case = check.name.partition("[")
        if name != told:
            yield from (("",) if told else ())
            yield name
            yield f"    {check.help}"
            told = name
        if case:
            yield f"    [{case}"
