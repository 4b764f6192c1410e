"""Steps per second of 32 async clients in one process on one server, all together, beside release 0.10.0."""

from __future__ import annotations

from benchmarks._figures import Bench, Figure, Limit
from benchmarks._rounds import Contestant, compare

CLIENTS = 32
AT_LEAST = Limit("least", 10, "ratio")


def run(bench: Bench) -> list[Figure]:
    """Measure a sync environment and one that never blocks."""
    fast = Contestant("ours", "non-blocking", clients=CLIENTS)
    lines = [
        (f"{CLIENTS} async clients, sync environment", Contestant("ours", clients=CLIENTS), None),
        (f"{CLIENTS} async clients, NON_BLOCKING (peer: sync)", fast, AT_LEAST),
    ]
    return compare(bench, lines)[0]
