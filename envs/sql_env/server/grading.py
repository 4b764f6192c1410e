"""Whether two results are the same: as rows or as bags of rows, with numbers compared as numbers.

Names of columns do not matter, their order does. A bag counts duplicates. What one database calls 5 and another 5.0
is the same, and so are 0.3 and 0.1 + 0.2; integers, texts and NULLs are compared exactly.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

__all__ = ["same"]

Row = Sequence[Any]
RELATIVE, ABSOLUTE = 1e-6, 1e-9
MOST_ODD = 100
"""Rows that a rounding may have put apart; more are not looked through."""


def same(found: Sequence[Row], expected: Sequence[Row], *, ordered: bool) -> bool:
    """Whether a result is the expected one.

    Args:
        found: Its rows.
        expected: Those of the reference.
        ordered: Whether their order matters.
    """
    if len(found) != len(expected):
        return False
    if ordered:
        return all(map(_alike, found, expected))
    by_key: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in found:
        by_key[_key(row)].append(row)
    odd = [row for row in expected if not _take(by_key[_key(row)], row)]
    left = [row for rows in by_key.values() for row in rows]
    return len(odd) <= MOST_ODD and all(_take(left, row) for row in odd)


def _take(rows: list[Row], wanted: Row) -> bool:
    for index, row in enumerate(rows):
        if _alike(row, wanted):
            del rows[index]
            return True
    return False


def _alike(one: Row, other: Row) -> bool:
    return len(one) == len(other) and all(map(_equal, one, other))


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        numbers = isinstance(one, int | float) and isinstance(other, int | float)
        return numbers and math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return bool(one == other)  # a truth value of PostgreSQL is the 0 or 1 of SQLite


def _key(row: Row) -> tuple[Any, ...]:
    """Return what rows that are alike have in common, but for some at the edge of a rounding."""
    return tuple(_rounded(value) for value in row)


def _rounded(value: Any) -> Any:
    if isinstance(value, int) or not isinstance(value, float):
        return value
    return int(value) if value.is_integer() else float(f"{value:.6g}")
