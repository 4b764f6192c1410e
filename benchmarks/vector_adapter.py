"""Steps per second of catch by Gymnasium's vector interface: 64 sessions that are served, 64 games in the process.

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
SERVED = {"adapter": 1, "adapter2": 2}
"""Processes of the server."""
LOCAL = {
    "masked": "SyncVectorEnv, with the mask of legal actions that the adapter tells",
    "bare": "SyncVectorEnv, without it",
    "class": "SyncVectorEnv of the environment class that is served",
    "async": "AsyncVectorEnv, a process for each game",
}


def run(bench: Bench) -> list[Figure]:
    """Measure the adapter beside each of its rivals, by turns."""
    rates: dict[str, list[float]] = {kind: [] for kind in (*SERVED, *LOCAL)}
    with ExitStack() as stack:
        urls = {kind: _served(stack, workers) for kind, workers in SERVED.items()}
        children = {kind: stack.enter_context(_child(kind, urls.get(kind, ""))) for kind in rates}
        for child in children.values():
            if child.hear(START_S) != "ready":
                raise child.failed("is not ready")
            _round(child, WARM_UP_S)
        for number in range(bench.rounds):
            order = list(children.items())
            for kind, child in order if number % 2 == 0 else reversed(order):
                rates[kind].append(_round(child, bench.seconds))
    adapter = rates["adapter"]
    figures = [
        _figure(f"{GAMES} games of catch through the adapter", adapter),
        _figure("... over two server processes", rates["adapter2"]),
    ]
    for kind, what in LOCAL.items():
        limit = AT_MOST if kind in ("masked", "class") else None
        figures.append(_figure(f"... {what}", rates[kind]))
        figures.append(
            Figure(f"... as a multiple of the adapter's ({kind})", _times(rates[kind], adapter), "", 2, limit=limit)
        )
    return figures


def _served(stack: ExitStack, workers: int) -> str:
    """Start a server of catch, and return its address."""
    contestant = Contestant("ours", "catch", face="vector", clients=GAMES, workers=workers)
    server = stack.enter_context(contestant.server(sys.executable))
    server.wait_until_healthy(START_S)
    return server.url


def _child(kind: str, url: str) -> Child:
    contestant = Contestant("ours", "catch")
    command = [sys.executable, str(contestant.program("gym_catch.py")), kind, str(GAMES), url]
    return Child(f"catch ({kind})", command, contestant.environ())


def _times(local: list[float], adapter: list[float]) -> float:
    return statistics.median(here / there for here, there in zip(local, adapter, strict=True))


def _figure(what: str, rates: list[float]) -> Figure:
    return Figure(what, statistics.median(rates), "/s", low=min(rates), high=max(rates))


def _round(child: Child, seconds: float) -> float:
    child.tell(str(seconds))
    answer = json.loads(child.hear(seconds + START_S))
    if not answer["steps"]:
        raise BenchmarkError(f"{child.name} made no step in {seconds:g} s")
    return float(answer["steps"] / answer["seconds"])
