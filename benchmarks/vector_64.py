"""Steps per second of 64 sessions in one vector client, beside 32 clients of release 0.10.0."""

from __future__ import annotations

from benchmarks._figures import Bench, Figure, Limit
from benchmarks._rounds import Contestant, compare

SESSIONS = 64
AT_LEAST = Limit("least", 25, "ratio")


def run(bench: Bench) -> list[Figure]:
    """Measure both routes, and a sync environment; a step of all sessions is one call."""

    def vector(environment: str, route: str = "own") -> Contestant:
        return Contestant("ours", environment, route, face="vector", clients=SESSIONS)

    lines = [
        (f"vector of {SESSIONS}, sync environment", vector("sync"), None),
        (f"vector of {SESSIONS}, NON_BLOCKING, plain ASGI", vector("non-blocking", "asgi"), None),
        (f"vector of {SESSIONS}, NON_BLOCKING (peer: 32 clients, sync)", vector("non-blocking"), AT_LEAST),
    ]
    return compare(bench, lines)[0]
