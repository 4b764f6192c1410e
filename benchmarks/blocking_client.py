"""Steps per second of one blocking client (`.sync()`) on loopback, beside release 0.10.0."""

from __future__ import annotations

from benchmarks._figures import Bench, Figure, Limit
from benchmarks._rounds import Contestant, compare

AT_LEAST = Limit("least", 3, "ratio")


def run(bench: Bench) -> list[Figure]:
    """Measure a sync environment and one that never blocks."""
    fast = Contestant("ours", "non-blocking", face="blocking")
    lines = [
        ("blocking client, sync environment", Contestant("ours", face="blocking"), None),
        ("blocking client, NON_BLOCKING (peer: sync)", fast, AT_LEAST),
    ]
    return compare(bench, lines)[0]
