"""Steps per second, and bytes on the wire, of an observation of 84 by 84 by 4 bytes, beside release 0.10.0.

This project sends the array as it is (MessagePack). Release 0.10.0 knows JSON only, so there the frame is a list of
its bytes, `.tolist()`; the program that gets it would still have to make an array of it.
"""

from __future__ import annotations

import sys

from benchmarks._figures import Bench, Figure, Limit
from benchmarks._rounds import Contestant, compare, counted

RAW_BYTES = 84 * 84 * 4
FRAMES = Contestant("ours", "frames")
VECTOR = Contestant("ours", "frames", face="vector", clients=16)


def run(bench: Bench) -> list[Figure]:
    """Measure one client, a vector of 16, and what a socket carries for a step."""
    lines = [
        ("async client, 84×84×4 frames", FRAMES, Limit("least", 10, "ratio")),
        ("vector of 16, 84×84×4 frames (peer: 32 clients)", VECTOR, None),
    ]
    figures = compare(bench, lines)[0]
    size = counted(FRAMES, sys.executable) / RAW_BYTES
    python = bench.peer.python()
    peers = counted(Contestant("peer", "frames", "asgi", hooks=True), python) / RAW_BYTES if python else None
    note = "both directions and all headers; the peer's are compressed by its WebSocket library"
    limit = Limit("most", 1.1)
    return [
        *figures,
        Figure("bytes on the socket for a step ÷ raw size", size, digits=3, peer=peers, limit=limit, note=note),
    ]
