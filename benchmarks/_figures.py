"""A figure: one measured number, what it is compared with, and what it should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from benchmarks._peer import Peer
    from benchmarks._plots import Plot


class BenchmarkError(Exception):
    """Something could not be measured; the message says why."""


@dataclass(frozen=True)
class Limit:
    """What a figure, or its ratio to the peer's, should be at most or at least."""

    kind: Literal["most", "least"]
    bound: float
    of: Literal["value", "ratio"] = "value"

    def holds(self, number: float) -> bool:
        """Return whether a number is within it."""
        return number <= self.bound if self.kind == "most" else number >= self.bound


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        what: What was measured.
        value: The number, for this project. A median where there are rounds.
        unit: Its unit; empty for a count.
        digits: Digits after the point to show.
        peer: The same measured for release 0.10.0; None if there is no such thing or it was not measured.
        limit: What it should be; None for a figure that is only for reading.
        low: The lowest of the rounds.
        high: The highest of the rounds.
        note: What a reader has to know to read it.
    """

    what: str
    value: float
    unit: str = ""
    digits: int = 0
    peer: float | None = None
    limit: Limit | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The value divided by the peer's."""
        return self.value / self.peer if self.peer else None

    @property
    def verdict(self) -> str:
        """`meets`, `misses`, `not compared` where the peer is missing, or nothing where there is no limit."""
        if self.limit is None:
            return ""
        number = self.value if self.limit.of == "value" else self.ratio
        if number is None:
            return "not compared"
        return "meets" if self.limit.holds(number) else "misses"


@dataclass
class Bench:
    """How to measure; given to every `run`.

    Attributes:
        peer: Where release 0.10.0 is to be had.
        rounds: Rounds of each throughput comparison.
        seconds: Length of a round for what has a limit; others play half as long.
        say: Tells whoever waits what is being done.
        plots: What there is to draw; benchmarks add to it.
    """

    peer: Peer
    rounds: int = 5
    seconds: float = 1.0
    say: Callable[[str], None] = field(default=lambda _text: None)
    plots: list[Plot] = field(default_factory=list)
