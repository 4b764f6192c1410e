"""A training by TRL while one environment in ten raises, dies or fails to reset: it ends, and the model learns."""

from __future__ import annotations

from statistics import fmean

from benchmarks._figures import Bench, Figure, Limit
from benchmarks._trainers import ran

ENDS = 5
"""How many steps at the beginning and at the end are compared."""


def run(bench: Bench) -> list[Figure]:
    """Train a small model that is made on the spot."""
    taken = ran(bench, "faults", "breaking")
    if taken is None:
        return []
    rewards, counts = taken["rewards"], taken["counts"]
    first, last = fmean(rewards[:ENDS]), fmean(rewards[-ENDS:])
    broke = ", ".join(f"{name} {number}" for name, number in sorted(counts.items()) if name != "episodes")
    return [
        Figure(
            "rise of the reward in a TRL run with 10 % of the episodes broken",
            last - first,
            digits=2,
            limit=Limit("least", 0.3),
            low=min(rewards),
            high=max(rewards),
            note=f"{first:.2f} to {last:.2f} in {len(rewards)} steps; of {counts['episodes']} episodes: {broke}",
        ),
        Figure("share of its episodes that TRL's own log says broke", 100 * fmean(taken["faults"]), "%", digits=1),
    ]
