"""Steps per second of 32 async clients in one process on one server, all together, beside release 0.10.0."""

from __future__ import annotations

from benchmarks._figures import Bench, Figure
from benchmarks._rounds import Contestant, compare

CLIENTS = 32


def run(bench: Bench) -> list[Figure]:
    """Measure a sync environment and one that never blocks."""
    lines = [
        (f"{CLIENTS} async clients, sync environment", Contestant("ours", clients=CLIENTS), None),
        (
            f"{CLIENTS} async clients, NON_BLOCKING (peer: sync)",
            Contestant("ours", "non-blocking", clients=CLIENTS),
            None,
        ),
    ]
    return compare(bench, lines)[0]
