"""Steps per second of catch through Gymnasium's vector interface: 64 sessions served, and 64 games in the trainer's process.

The ratio is by how much the adapter is slower than what has no server at all, and stands for each of the ways in
which the game can be had without one.
"""

from __future__ import annotations

import json
import statistics
import sys
from contextlib import ExitStack

from benchmarks._figures import Bench, BenchmarkError, Figure, Limit
from benchmarks._processes import Child
from benchmarks._rounds import Contestant

GAMES = 64
AT_MOST = Limit("most", 3.0)
START_S, WARM_UP_S = 60.0, 0.5
LOCAL = {
    "masked": "SyncVectorEnv, with the mask of legal actions that the adapter tells",
    "bare": "SyncVectorEnv, without it",
    "class": "SyncVectorEnv of the environment class that is served",
    "async": "AsyncVectorEnv, a process for each game",
}


def run(bench: Bench) -> list[Figure]:
    """Measure the adapter beside each of its rivals, by turns."""
    served = Contestant("ours", "catch", face="vector", clients=GAMES)
    rates: dict[str, list[float]] = {kind: [] for kind in ("adapter", *LOCAL)}
    with ExitStack() as stack:
        server = stack.enter_context(served.server(sys.executable))
        server.wait_until_healthy(START_S)
        command = [sys.executable, str(Contestant.program("gym_catch.py"))]
        children = {
            kind: stack.enter_context(
                Child(f"catch ({kind})", [*command, kind, str(GAMES), server.url], served.environ())
            )
            for kind in rates
        }
        for child in children.values():
            if child.hear(START_S) != "ready":
                raise child.failed("is not ready")
            _round(child, WARM_UP_S)
        for number in range(bench.rounds):
            order = list(children.items())
            for kind, child in order if number % 2 == 0 else reversed(order):
                rates[kind].append(_round(child, bench.seconds))
    adapter = rates["adapter"]
    figures = [_figure(f"{GAMES} games of catch through the adapter", adapter)]
    for kind, what in LOCAL.items():
        ratio = statistics.median(local / ours for local, ours in zip(rates[kind], adapter, strict=True))
        figures.append(_figure(f"... {what}", rates[kind]))
        limit = AT_MOST if kind == "masked" else None
        figures.append(Figure(f"... and how many times that is the adapter's ({kind})", ratio, "", 2, limit=limit))
    return figures


def _figure(what: str, rates: list[float]) -> Figure:
    return Figure(what, statistics.median(rates), "/s", low=min(rates), high=max(rates))


def _round(child: Child, seconds: float) -> float:
    child.tell(str(seconds))
    answer = json.loads(child.hear(seconds + START_S))
    if not answer["steps"]:
        raise BenchmarkError(f"{child.name} made no step in {seconds:g} s")
    return float(answer["steps"] / answer["seconds"])
