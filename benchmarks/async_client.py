"""Steps per second of one async client on loopback, beside release 0.10.0."""

from __future__ import annotations

from benchmarks._figures import Bench, Figure, Limit
from benchmarks._rounds import Contestant, compare, rate

SOCKET = Contestant("socket")
AT_LEAST = Limit("least", 1.5, "ratio")


def run(bench: Bench) -> list[Figure]:
    """Measure both routes, the kinds of environment, an old client class, and what a socket alone can do."""
    lines = [
        ("async client, sync environment, plain ASGI", Contestant("ours", route="asgi"), AT_LEAST),
        ("async client, sync environment", Contestant("ours"), AT_LEAST),
        (
            "async client, NON_BLOCKING (peer: sync), plain ASGI",
            Contestant("ours", "non-blocking", route="asgi"),
            None,
        ),
        ("async client, NON_BLOCKING (peer: sync)", Contestant("ours", "non-blocking"), None),
        ("async client, async environment", Contestant("ours", "async"), None),
        ("async client with the old hooks, sync", Contestant("ours", hooks=True), None),
    ]
    figures, reached = compare(bench, lines, SOCKET)
    return [*figures, rate("limit of the socket: websockets echo", reached[SOCKET])]
