"""Catch of OpenSpiel, an environment that is not trivial: its server side, and how a vector client plays it.

All episodes have nine moves, so all sessions end theirs in the same step and are reset together; a reset counts as
time, and not as a step.
"""

from __future__ import annotations

import asyncio
from time import perf_counter

import orders

from openspiel_env import OpenSpielAction as Action
from openspiel_env import OpenSpielEnv
from openspiel_env import OpenSpielObservation as Observation

__all__ = ["Action", "Observation", "play"]

STAY = Action(action_id=1)


def __getattr__(name: str) -> object:
    """Import the server side for a server only."""
    if name != "Environment":
        raise AttributeError(name)
    from openspiel_env.server.openspiel_environment import OpenSpielEnvironment

    return OpenSpielEnvironment


async def play(url: str, count: int, *, text: bool) -> None:
    """Run rounds of episodes, with all sessions in one object."""
    options = {"text": text}
    actions = [STAY] * count
    async with OpenSpielEnv.vector(url, num_envs=count) as envs:
        await envs.reset(seeds=0, options=options)
        for result in await envs.step(actions):
            check(result, text)
        orders.say("ready")
        while (seconds := await asyncio.to_thread(orders.read)) is not None:
            await envs.reset(seeds=0, options=options)
            start = perf_counter()
            done = 0
            while perf_counter() < start + seconds:
                results = await envs.step(actions)
                done += len(results)
                if results[0].done:
                    await envs.reset(options=options)
            orders.report(done, perf_counter() - start)


def check(result: object, text: bool) -> None:
    """Make sure that what is measured works."""
    seen = getattr(result, "observation", None)
    right = isinstance(seen, Observation) and sum(seen.info_state) == 2 and bool(seen.text) == text
    if not right:
        raise SystemExit(f"A step gave a wrong answer: {result!r:.1000}")
