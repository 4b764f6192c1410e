"""How fast `/health` answers while ten sessions each sleep five seconds in `step`."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

import httpx

from benchmarks._figures import Bench, Figure, Limit
from benchmarks.sleeping import Sleep, SleeperEnv
from openenv.providers import ProcessProvider

SESSIONS, SLEEP_S, ASKED = 10, 5.0, 100
LIMIT = Limit("most", 50.0)


def run(bench: Bench) -> list[Figure]:
    """Ask a hundred times, spread over four of the five seconds."""
    folder = Path(__file__).parents[1]
    with ProcessProvider("benchmarks.sleeping:app", cwd=str(folder)) as provider:
        times = asyncio.run(_ask_while_asleep(provider.base_url))
    return [
        Figure(
            f"/health while {SESSIONS} sessions sleep {SLEEP_S:g} s in step: slowest of {ASKED}",
            max(times),
            "ms",
            digits=1,
            limit=LIMIT,
            low=min(times),
            high=max(times),
            note=f"median {statistics.median(times):.1f} ms",
        )
    ]


async def _ask_while_asleep(url: str) -> list[float]:
    clients = [await SleeperEnv(base_url=url) for _ in range(SESSIONS)]
    for client in clients:
        await client.reset()
    asleep = [asyncio.ensure_future(client.step(Sleep(seconds=SLEEP_S))) for client in clients]
    await asyncio.sleep(0.2)
    times = []
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        await http.get("/health")  # connects, and has this process load what it asks with
        for _ in range(ASKED):
            began = time.perf_counter()
            (await http.get("/health")).raise_for_status()
            times.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.03)
    assert not any(step.done() for step in asleep), "a step was over before the last question"
    await asyncio.gather(*asleep)
    for client in clients:
        await client.close()
    return times
