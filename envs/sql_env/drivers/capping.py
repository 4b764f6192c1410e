"""Results of bounded size: the first rows, long values shortened, and what was left out."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

LARGEST = 2**63


class Caps(NamedTuple):
    """How much of a result is kept.

    Attributes:
        rows: How many rows.
        bytes: About how many bytes in all.
        cell: Characters of a value.
    """

    rows: int
    bytes: int
    cell: int


class Kept:
    """Rows, as many as there is room for.

    Attributes:
        rows: Those that were kept.
        more: Whether any was not.
        cut: How many values were shortened.
    """

    def __init__(self, caps: Caps) -> None:
        self.rows: list[list[Any]] = []
        self.more = False
        self.cut = 0
        self._caps = caps
        self._room = caps.bytes

    def add(self, row: Iterable[Any]) -> bool:
        """Keep a row; return whether there was room for it."""
        cells = [self._cell(value) for value in row]
        size = sum(len(cell.encode()) if isinstance(cell, str) else 8 for cell in cells)
        if self.more or len(self.rows) >= self._caps.rows or size > self._room:
            self.more = True
            return False
        self._room -= size
        self.rows.append(cells)
        return True

    def _cell(self, value: Any) -> Any:
        value = plain(value)
        if isinstance(value, str) and len(value) > self._caps.cell:
            self.cut += 1
            return f"{value[: self._caps.cell]}[... {len(value) - self._caps.cell:,} more characters]"
        return value


def plain(value: Any) -> Any:
    """Return a value as JSON can have it."""
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, int) and not -LARGEST <= value < LARGEST:
        return str(value)
    return value
