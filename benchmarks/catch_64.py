"""Steps per second of catch, a game of OpenSpiel, in 64 sessions of one vector client: two processes in all.

Beside it the environment that does nothing, for what the machine gives at most.
"""

from __future__ import annotations

from benchmarks._figures import Bench, Figure, Limit
from benchmarks._rounds import Contestant, Environment, alternate, rate

SESSIONS = 64
AT_LEAST = Limit("least", 40_000)


def run(bench: Bench) -> list[Figure]:
    """Measure catch without its text, as a network is trained on it, and with it; and nothing at all."""

    def vector(environment: Environment) -> Contestant:
        return Contestant("ours", environment, face="vector", clients=SESSIONS)

    lines = [
        (f"catch, vector of {SESSIONS}, text=False", vector("catch"), AT_LEAST),
        ("... with text and names of moves", vector("catch-in-words"), None),
        (f"an environment that does nothing, vector of {SESSIONS}", vector("non-blocking"), None),
    ]
    reached = alternate(bench, {line: bench.seconds for _, line, _ in lines})
    return [rate(what, reached[line], None, limit) for what, line, limit in lines]
