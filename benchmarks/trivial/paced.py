"""Hold many sessions and step each of them once a second: `paced.py URL`.

Takes orders as lines of JSON: `{"sessions": 1000}` opens and resets as many as are missing to that number and
answers with the seconds that took; `{"seconds": 10}` steps each session once a second and answers with latencies.

Steps are due evenly over the second, one every 1/N s, whatever became of those before (an open loop). Those that
are due within one tick leave together, in a batch for each vector client, and each latency counts from when that
step was due to when its caller has the result, so the wait for the tick is part of it.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Any

import orders

from environment import PlainEnv, TrivialAction, is_right

ACTION = TrivialAction(value=7)
TICK_S = 0.005
LARGEST, CONNECTIONS = 1250, 2  # sessions of one vector client, and connections they share


class Held:
    """The open sessions: vector clients, and where each session is."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self._url, self._stack = url, stack
        self.connections = 0
        self.places: list[tuple[Any, int]] = []

    async def grow(self, wanted: int) -> float:
        """Open and reset sessions until there are so many; return the seconds it took."""
        start = perf_counter()
        while (missing := wanted - len(self.places)) > 0:
            count = min(missing, LARGEST)
            connections = min(CONNECTIONS, count)
            vector = PlainEnv.vector(self._url, num_envs=count, connections=connections)
            envs = await self._stack.enter_async_context(vector)
            for result in await envs.reset():
                if result.observation is None:
                    raise SystemExit(f"A reset failed: {result!r:.1000}")
            self.connections += connections
            self.places += [(envs, index) for index in range(count)]
        return perf_counter() - start

    async def pace(self, seconds: float) -> tuple[list[float], float]:
        """Step each session once a second; return the latencies and how long all of it took."""
        count = len(self.places)
        total = int(count * seconds)
        latencies: list[float] = []
        begun = perf_counter()

        async def step(first: int, last: int) -> None:
            by_client: dict[Any, dict[int, list[int]]] = {}
            for arrival in range(first, last):
                envs, index = self.places[arrival % count]
                by_client.setdefault(envs, {}).setdefault(index, []).append(arrival)
            await asyncio.gather(*(one(envs, due) for envs, due in by_client.items()))

        async def one(envs: Any, due: dict[int, list[int]]) -> None:
            results = await envs.step(dict.fromkeys(due, ACTION))
            now = perf_counter()
            for result, arrivals in zip(results, due.values(), strict=True):
                if result.observation is None or not is_right(result.observation):
                    raise SystemExit(f"A step gave a wrong answer: {result!r:.1000}")
                latencies.extend(now - begun - arrival / count for arrival in arrivals)

        sent = 0
        async with asyncio.TaskGroup() as steps:
            while sent < total:
                due = min(total, int((perf_counter() - begun) * count) + 1)
                if due > sent:
                    steps.create_task(step(sent, due))
                    sent = due
                await asyncio.sleep(max(TICK_S, begun + sent / count - perf_counter()))
        return latencies, perf_counter() - begun


def percentiles(latencies: list[float]) -> dict[str, float]:
    """Return milliseconds by name."""
    ordered = sorted(latencies)
    at = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: ordered[min(int(len(ordered) * part), len(ordered) - 1)] * 1000 for name, part in at.items()}


async def main(url: str) -> None:
    """Carry out orders until standard input closes."""
    async with AsyncExitStack() as stack:
        held = Held(url, stack)
        orders.say("ready")
        while (order := await asyncio.to_thread(orders.read_order)) is not None:
            if "sessions" in order:
                orders.answer(seconds=await held.grow(order["sessions"]), connections=held.connections)
                gc.collect()
                gc.freeze()  # what the client holds for its sessions is not to be looked through again and again
            else:
                latencies, seconds = await held.pace(order["seconds"])
                orders.answer(steps=len(latencies), seconds=seconds, **percentiles(latencies))


asyncio.run(main(sys.argv[1]))
