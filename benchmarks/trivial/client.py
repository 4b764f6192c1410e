"""Step the trivial environment as fast as it goes: `client.py URL (async|blocking) CLIENTS (plain|hooks)`.

Says `ready` when all clients have reset, and have had the right answer to a step.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Any

import orders

from environment import CLIENTS, TrivialAction

ACTION = TrivialAction(value=7)


async def play_async(client_class: Any, url: str, count: int) -> None:
    """Run rounds with a number of async clients, each stepping on its own."""

    async def steps(client: Any, deadline: float) -> int:
        done = 0
        while perf_counter() < deadline:
            await client.step(ACTION)
            done += 1
        return done

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_class(base_url=url)) for _ in range(count)]
        for client in clients:
            await client.reset()
            check(await client.step(ACTION))
        orders.say("ready")
        while (seconds := await asyncio.to_thread(orders.read)) is not None:
            start = perf_counter()
            done = await asyncio.gather(*(steps(client, start + seconds) for client in clients))
            orders.report(sum(done), perf_counter() - start)


def play_blocking(client_class: Any, url: str) -> None:
    """Run rounds with one blocking client."""
    with client_class(base_url=url).sync() as client:
        client.reset()
        check(client.step(ACTION))
        orders.say("ready")
        while (seconds := orders.read()) is not None:
            start = perf_counter()
            done = 0
            while perf_counter() < start + seconds:
                client.step(ACTION)
                done += 1
            orders.report(done, perf_counter() - start)


def check(result: Any) -> None:
    """Make sure that what is measured works."""
    if (result.observation.value, result.reward, result.done) != (ACTION.value, 1.0, False):
        raise SystemExit(f"A step gave a wrong answer: {result!r}")


def main() -> None:
    """Run as the arguments say until standard input closes."""
    url, face, count, style = sys.argv[1:]
    if face == "async":
        asyncio.run(play_async(CLIENTS[style], url, int(count)))
    else:
        play_blocking(CLIENTS[style], url)


main()
