"""What an environment holds that a fork of its process would share instead of having its own.

A line to another process, for example: both would read what is meant for one of them. While there is such a thing
the process is not forked, and whoever asked is told why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["holding", "reasons"]

_held: Counter[str] = Counter()


def reasons() -> list[str]:
    """Return what this process holds now, in words."""
    return sorted(_held)


@contextmanager
def holding(what: str) -> Iterator[None]:
    """Hold something within the context.

    Args:
        what: In words, such as `a workspace with running programs`.
    """
    _held[what] += 1
    try:
        yield
    finally:
        _held[what] -= 1
        if not _held[what]:
            del _held[what]
