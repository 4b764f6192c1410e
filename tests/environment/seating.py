"""Seats without a server, and who has taken them."""

import asyncio
from typing import Any

from tests.environment.games import Mark


async def seated(seat: Any, **arguments: Any) -> tuple[Any, asyncio.Task]:
    """Return a seat, and its reset that is under way."""
    env = seat()
    reset = asyncio.create_task(env.reset(**arguments))
    for _ in range(3):
        await asyncio.sleep(0)
    return env, reset


async def begun(seat: Any, **arguments: Any) -> tuple[Any, Any, asyncio.Task]:
    """Return both players of a game in which the first is to move; and the second's reset."""
    one, first = await seated(seat, **arguments)
    two, second = await seated(seat, **arguments)
    await first
    return one, two, second


async def x_wins(x: Any, o: Any, turn: asyncio.Task) -> tuple[Any, asyncio.Task]:
    """Play to the end; return the result of x, and the last step of o, which may not have seen it yet."""
    for mine, theirs in ((0, 3), (1, 4)):
        moved = asyncio.create_task(x.step(Mark(square=mine)))
        await turn
        turn = asyncio.create_task(o.step(Mark(square=theirs)))
        await moved
    return await x.step(Mark(square=2)), turn


def matches(seat: Any) -> list[Any]:
    """Return the matches that are kept for a seat's class."""
    table = seat._tables[asyncio.get_running_loop()]
    return [*table._named.values(), *table._nameless]
