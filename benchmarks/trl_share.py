"""The share of a training step of TRL spent in `environment_factory`: 32 generations of 4 tool calls each."""

from __future__ import annotations

import statistics

from benchmarks._figures import Bench, Figure, Limit
from benchmarks._trainers import ran


def run(bench: Bench) -> list[Figure]:
    """Train a small model on a trivial environment; the first step is not counted."""
    taken = ran(bench, "share", "adding")
    if taken is None:
        return []
    steps = taken["steps"][1:]
    shares = [100 * inside / whole for whole, inside in steps]
    whole, inside = (statistics.median(each) for each in zip(*steps, strict=True))
    return [
        Figure(
            "share of a TRL step in the adapter, 32 generations of 4 calls",
            statistics.median(shares),
            "%",
            digits=1,
            limit=Limit("most", 5),
            low=min(shares),
            high=max(shares),
            note=f"{1000 * inside:.0f} ms, the environment's included, of {whole:.1f} s; "
            f"a model of {taken['parameters']:,} parameters, {taken['calls']:g} calls each",
        )
    ]
