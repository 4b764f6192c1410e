"""10,000 open sessions on one server process, each stepping once a second: latency, and memory of a session.

One client process carries them over a few connections and sends the steps evenly over each second. A latency
counts from when a step was due to when its caller has the result.
"""

from __future__ import annotations

from benchmarks._figures import Bench, Figure, Limit
from benchmarks._held import Held

SESSIONS = 10_000
SETTLE_S, STEADY_S = 2.0, 10.0


def run(bench: Bench) -> list[Figure]:
    """Open them, let them settle, and step them for ten seconds."""
    with Held("non-blocking", SESSIONS) as held:
        opening = held.grow(SESSIONS)
        held.pace(SETTLE_S)
        paced = held.pace(STEADY_S)
    over = f"{paced.steps:,} steps in {STEADY_S:g} s over {paced.connections} connections"
    cpu = "" if paced.server_us is None else f"; server CPU {paced.server_us:.0f} µs a step"
    figures = [
        Figure(
            "10,000 sessions at 1 step/s each: answered", paced.rate, "/s", limit=Limit("least", 0.98 * SESSIONS)
        ),
        Figure("10,000 sessions at 1 step/s each: p50", paced.p50, "ms", 1, note=over + cpu),
        Figure("10,000 sessions at 1 step/s each: p90", paced.p90, "ms", 1),
        Figure("10,000 sessions at 1 step/s each: p99", paced.p99, "ms", 1, limit=Limit("most", 250)),
        Figure("10,000 sessions at 1 step/s each: slowest", paced.slowest, "ms", 1),
        Figure("time to open and reset 10,000 sessions", opening, "s", 1),
    ]
    if paced.kilobytes is not None:
        note = "growth of the server's private memory"
        limit = Limit("most", 40)
        figures.append(Figure("server memory of a session", paced.kilobytes, "kB", 1, limit=limit, note=note))
    return figures
