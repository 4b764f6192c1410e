"""Steps per second of Atari's Pong, grey and 84 by 84: served, beside the same environment in process.

They take turns in rounds, with the usual settings: an action is held for four frames, and sticks with a chance of
one in four. Served to one client, each step waits for the way there and back; to eight at once, the server plays on
while frames are on their way, as it does for a trainer. One server process plays on one core, as the environment in
process does, and has the frames to carry on top; two have two cores, of which they leave the clients a part.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks._figures import Bench, BenchmarkError, Figure, Limit
from openenv.errors import OpenEnvError
from openenv.providers import ProcessProvider

ENVIRONMENT = Path(__file__).parents[1] / "envs" / "atari_env"
SETTINGS = {"ATARI_GAME": "pong", "ATARI_OBS_TYPE": "grayscale", "ATARI_SIZE": "84"}
ACTIONS = (0, 2, 2, 3, 0, 3, 3, 2)
SESSIONS, PROCESSES = 8, 2
WARM_S = 0.3


def run(bench: Bench) -> list[Figure]:
    """Measure all in turn."""
    try:
        from atari_env.server.atari_environment import AtariEnvironment
    except ImportError as error:
        raise BenchmarkError(f"Atari can not be played here: {error}") from error
    own = AtariEnvironment("pong", observation="grayscale", size=84)
    rounds = []
    try:
        with _server(1) as one, _server(PROCESSES) as several:
            for seconds in (WARM_S, *[bench.seconds] * bench.rounds):
                contests = ((one, 1), (one, SESSIONS), (several, SESSIONS))
                served = [asyncio.run(_served(server.base_url, number, seconds)) for server, number in contests]
                rounds.append((_in_process(own, seconds), *served))
    except OpenEnvError as error:
        raise BenchmarkError(str(error)) from error
    alone, *served = (list(rates) for rates in zip(*rounds[1:], strict=True))
    to_one, to_many, by_several = served
    _, share, share_of_several = ([a / b for a, b in zip(rates, alone, strict=True)] for rates in served)
    return [
        _figure("Pong, grey 84×84, in process", alone, "/s"),
        _figure("... served to one client", to_one, "/s"),
        _figure(f"... served to {SESSIONS} clients at once", to_many, "/s"),
        _figure("... ÷ in process", share, ""),
        _figure(f"... served to {SESSIONS} clients by {PROCESSES} processes", by_several, "/s"),
        _figure("... ÷ in process", share_of_several, "", Limit("least", 0.8)),
    ]


def _server(processes: int) -> ProcessProvider:
    """Return a server of so many processes, not started yet."""
    return ProcessProvider(
        ENVIRONMENT,
        env_vars=SETTINGS,
        max_concurrent_envs=SESSIONS,
        serve_args=["--workers", str(processes)],
    )


def _in_process(environment: Any, seconds: float) -> float:
    """Return steps per second; a game that is over is begun again."""
    actions = _actions()
    environment.reset()
    steps, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        if environment.step(actions[steps % len(actions)]).done:
            environment.reset()
        steps += 1
    return steps / passed


async def _served(url: str, clients: int, seconds: float) -> float:
    """Return steps per second of all clients together."""
    from atari_env import AtariEnv

    actions = _actions()
    envs = [AtariEnv(base_url=url) for _ in range(clients)]
    for env in envs:
        await env.connect()
        await env.reset()
    began = time.perf_counter()

    async def play(env: Any) -> int:
        steps = 0
        while time.perf_counter() - began < seconds:
            if (await env.step(actions[steps % len(actions)])).done:
                await env.reset()
            steps += 1
        return steps

    steps = sum(await asyncio.gather(*map(play, envs)))
    rate = steps / (time.perf_counter() - began)
    for env in envs:
        await env.close()
    return rate


def _actions() -> list[Any]:
    from atari_env import AtariAction

    return [AtariAction(action_id=number) for number in ACTIONS]


def _figure(what: str, values: list[float], unit: str, limit: Limit | None = None) -> Figure:
    note = "rounds: " + ", ".join(f"{value:,.0f}" if unit else f"{value:.2f}" for value in values)
    return Figure(what, statistics.median(values), unit, digits=0 if unit else 2, limit=limit, note=note)
