"""How soon what an agent wrote runs: a new workspace and its first `print(1)`, later ones, programs, by backend.

A backend that cannot be had here is left out, with the reason. For Docker it takes the image `python:3.11-slim`.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

from benchmarks._figures import Bench, Figure, Limit
from openenv.errors import OpenEnvError
from openenv.execution import Backend, Bubblewrap, DockerExec, WarmFork

IMAGE = "python:3.11-slim"
BACKENDS: tuple[tuple[str, Callable[[], Backend], int, float | None], ...] = (
    ("WarmFork", WarmFork, 20, 25),
    ("Bubblewrap", Bubblewrap, 10, 150),
    ("DockerExec", lambda: DockerExec(image=IMAGE), 10, None),
)
CALLS, WARM_UP = 20, 2


def run(bench: Bench) -> list[Figure]:
    """Open workspaces of each backend one after the other, and use each."""
    figures: list[Figure] = []
    for name, make, opens, most in BACKENDS:
        try:
            figures += asyncio.run(_backend(name, make, opens, most))
        except OpenEnvError as error:
            bench.say(f"{name} is left out: {error}")
    return figures


async def _backend(name: str, make: Callable[[], Backend], opens: int, most: float | None) -> list[Figure]:
    first: list[float] = []
    prints: list[float] = []
    runs: list[float] = []
    resets: list[float] = []
    async with make() as backend:
        for number in range(opens + WARM_UP):
            began = time.perf_counter()
            async with await backend.open() as workspace:
                await workspace.python("print(1)")
                if number < WARM_UP:
                    continue
                first.append(time.perf_counter() - began)
                if number == opens + WARM_UP - 1:
                    prints = [await _timed(lambda: workspace.python("print(1)")) for _ in range(CALLS)]
                    runs = [await _timed(lambda: workspace.run(["true"])) for _ in range(CALLS)]
                    resets = [await _timed(workspace.reset) for _ in range(CALLS)]
    limit = Limit("most", most) if most is not None else None
    return [
        _figure(f"{name}: a new workspace and its first print(1)", first, limit),
        _figure("... a later print(1)", prints),
        _figure("... a program", runs),
        _figure("... reset", resets),
    ]


async def _timed(call: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await call()
    return time.perf_counter() - began


def _figure(what: str, seconds: list[float], limit: Limit | None = None) -> Figure:
    taken = sorted(1000 * one for one in seconds)
    return Figure(
        what,
        statistics.median(taken),
        "ms",
        digits=1,
        limit=limit,
        low=taken[0],
        high=taken[-1],
        note=f"{taken[0]:.1f} to {taken[-1]:.1f}, {len(taken)} times",
    )
