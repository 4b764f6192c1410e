"""Open and reset many sessions, again and again: `opening.py URL SESSIONS CONNECTIONS`.

For each line it gets it opens all sessions, resets them, answers with the seconds that took, and closes them.
"""

from __future__ import annotations

import asyncio
import sys
from time import perf_counter

import orders

from environment import PlainEnv


async def main(url: str, sessions: int, connections: int) -> None:
    """Carry out orders until standard input closes."""
    orders.say("ready")
    while await asyncio.to_thread(orders.read) is not None:
        start = perf_counter()
        async with PlainEnv.vector(url, num_envs=sessions, connections=connections) as envs:
            opened = perf_counter() - start
            results = await envs.reset()
            seconds = perf_counter() - start
            for result in results:
                if result.observation is None:
                    raise SystemExit(f"A reset failed: {result!r:.1000}")
        orders.answer(seconds=seconds, opened=opened)


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
