"""Steps per second of 64 sessions in one vector client, beside 32 clients of release 0.10.0."""

from __future__ import annotations

from dataclasses import replace

from benchmarks._figures import Bench, Figure, Limit
from benchmarks._rounds import Contestant, compare

SESSIONS, PROCESSES = 64, 2
AT_LEAST = Limit("least", 25, "ratio")


def run(bench: Bench) -> list[Figure]:
    """Measure both routes, a Unix socket, several processes, and a sync environment.

    A step of all sessions is one call.
    """

    def vector(environment: str, route: str = "own") -> Contestant:
        return Contestant("ours", environment, route, face="vector", clients=SESSIONS)

    fast = vector("non-blocking")
    lines = [
        (f"vector of {SESSIONS}, sync environment", vector("sync"), None),
        (f"vector of {SESSIONS}, NON_BLOCKING, plain ASGI", vector("non-blocking", "asgi"), None),
        (f"vector of {SESSIONS}, NON_BLOCKING (peer: 32 clients, sync)", fast, AT_LEAST),
        (f"vector of {SESSIONS}, NON_BLOCKING, Unix socket", replace(fast, uds=True), None),
        (
            f"vector of {SESSIONS}, NON_BLOCKING, {PROCESSES} server processes",
            replace(fast, workers=PROCESSES),
            None,
        ),
    ]
    return compare(bench, lines)[0]
