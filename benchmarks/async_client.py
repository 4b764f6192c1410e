"""Steps per second of one async client on loopback, beside release 0.10.0."""

from __future__ import annotations

from benchmarks._figures import Bench, Figure, Limit
from benchmarks._rounds import Contestant, compare, rate

SOCKET = Contestant("socket")


def run(bench: Bench) -> list[Figure]:
    """Measure the three kinds of environment, an old client class, and what a socket alone can do."""
    lines = [
        ("async client, sync environment", Contestant("ours"), Limit("least", 1.5, "ratio")),
        ("async client, NON_BLOCKING (peer: sync)", Contestant("ours", "non-blocking"), None),
        ("async client, async environment", Contestant("ours", "async"), None),
        ("async client with the old hooks, sync environment", Contestant("ours", hooks=True), None),
    ]
    figures, rates = compare(bench, lines, bench.seconds, SOCKET)
    return [*figures, rate("limit of the socket: websockets echo", rates[SOCKET])]
