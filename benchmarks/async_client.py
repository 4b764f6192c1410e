"""Steps per second of one async client on loopback, beside release 0.10.0 and the WebSocket library alone."""

from __future__ import annotations

import statistics

from benchmarks._figures import Bench, Figure, Limit
from benchmarks._rounds import Contestant, compare, rate

SOCKET = Contestant("socket")
SYNC, FAST = Contestant("ours"), Contestant("ours", "non-blocking")
SYNC_LEAST, FAST_LEAST = Limit("least", 1.5, "ratio"), Limit("least", 3.5, "ratio")
SHARE = Limit("least", 0.65)


def run(bench: Bench) -> list[Figure]:
    """Measure both routes, the kinds of environment, an old client class, and what a socket alone can do."""
    lines = [
        ("async client, sync environment, plain ASGI", Contestant("ours", route="asgi"), SYNC_LEAST),
        ("async client, sync environment", SYNC, SYNC_LEAST),
        (
            "async client, NON_BLOCKING (peer: sync), plain ASGI",
            Contestant("ours", "non-blocking", route="asgi"),
            None,
        ),
        ("async client, NON_BLOCKING (peer: sync)", FAST, FAST_LEAST),
        ("async client, async environment", Contestant("ours", "async"), None),
        ("async client with the old hooks, sync", Contestant("ours", hooks=True), None),
    ]
    figures, reached = compare(bench, lines, full=(SOCKET,))
    shares = [ours / raw for ours, raw in zip(reached[FAST].rates, reached[SOCKET].rates, strict=True)]
    share = Figure(
        "async client, NON_BLOCKING, as a share of the raw round trip",
        statistics.median(shares),
        digits=2,
        limit=SHARE,
        low=min(shares),
        high=max(shares),
        note=f"{min(shares):.2f} to {max(shares):.2f}, round by round",
    )
    return [*figures, rate("raw round trip: picows on both ends, same frames", reached[SOCKET]), share]
