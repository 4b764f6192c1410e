"""Step an environment that does nothing: `client.py URL (async|blocking|vector) CLIENTS PROCESSES STYLE`.

The style of the client class is `plain`, `hooks` or `frames`; `catch` and `catch-in-words` are a game, in a vector
only. A vector has a connection for each server process.
Says `ready` when all clients have reset, and have had the right answer to a step.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Any

import orders


async def play_async(client_class: Any, url: str, count: int) -> None:
    """Run rounds with a number of async clients, each stepping on its own."""

    async def steps(client: Any, deadline: float) -> int:
        done = 0
        while perf_counter() < deadline:
            await client.step(action)
            done += 1
        return done

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_class(base_url=url)) for _ in range(count)]
        for client in clients:
            await client.reset()
            check(await client.step(action))
        orders.say("ready")
        while (seconds := await asyncio.to_thread(orders.read)) is not None:
            start = perf_counter()
            done = await asyncio.gather(*(steps(client, start + seconds) for client in clients))
            orders.report(sum(done), perf_counter() - start)


def play_blocking(client_class: Any, url: str) -> None:
    """Run rounds with one blocking client."""
    with client_class(base_url=url).sync() as client:
        client.reset()
        check(client.step(action))
        orders.say("ready")
        while (seconds := orders.read()) is not None:
            start = perf_counter()
            done = 0
            while perf_counter() < start + seconds:
                client.step(action)
                done += 1
            orders.report(done, perf_counter() - start)


async def play_vector(client_class: Any, url: str, count: int, connections: int | None) -> None:
    """Run rounds with all sessions in one object, which steps all of them at once."""
    async with client_class.vector(url, num_envs=count, connections=connections) as envs:
        await envs.reset()
        for result in await envs.step([action] * count):
            check(result)
        orders.say("ready")
        while (seconds := await asyncio.to_thread(orders.read)) is not None:
            start = perf_counter()
            done = 0
            while perf_counter() < start + seconds:
                done += len(await envs.step([action] * count))
            orders.report(done, perf_counter() - start)


def check(result: Any) -> None:
    """Make sure that what is measured works."""
    if not (is_right(result.observation) and (result.reward, result.done) == (1.0, False)):
        raise SystemExit(f"A step gave a wrong answer: {result!r:.1000}")


url, face, clients, processes, style = sys.argv[1:]
if style == "frames":
    from frames import FrameEnv as Client
    from frames import Look, is_right

    action: Any = Look()
elif style.startswith("catch"):
    import catch

    asyncio.run(catch.play(url, int(clients), text=style == "catch-in-words"))
    sys.exit()
else:
    from environment import CLIENTS, TrivialAction, is_right

    Client, action = CLIENTS[style], TrivialAction(value=7)
if face == "blocking":
    play_blocking(Client, url)
elif face == "vector":
    asyncio.run(play_vector(Client, url, int(clients), int(processes) if int(processes) > 1 else None))
else:
    asyncio.run(play_async(Client, url, int(clients)))
