"""64 resets, and 64 tool calls, of 0.1 s each, as TRL's own code makes them through `environment_factory`."""

from __future__ import annotations

import statistics

from benchmarks._figures import Bench, Figure, Limit
from benchmarks._trainers import ran

AT_MOST = Limit("most", 0.5)


def run(bench: Bench) -> list[Figure]:
    """Play batches; the first, in which the sessions are opened, is told in the note."""
    taken = ran(bench, "overlap", "slowly")
    if taken is None:
        return []
    figures = []
    for name in ("resets", "calls"):
        first, *others = taken[name]
        figures.append(
            Figure(
                f"64 {name} of 0.1 s, one after the other by TRL",
                statistics.median(others),
                "s",
                digits=2,
                limit=AT_MOST,
                low=min(others),
                high=max(others),
                note=f"{min(others):.2f} to {max(others):.2f}, the first batch {first:.2f}; 6.4 if not overlapped",
            )
        )
    return figures
