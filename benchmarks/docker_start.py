"""From the call to the first observation in a container, and what a step costs by each way into it.

It takes the image `echo-env:latest` (`openenv build envs/echo_env`). Where there is no engine or no such image it
says so and measures nothing.
"""

from __future__ import annotations

import contextlib
import statistics
import time

from benchmarks._figures import Bench, Figure, Limit
from openenv.client import GenericEnvClient
from openenv.errors import EngineUnavailableError, ImageNotFoundError
from openenv.providers import LocalDockerProvider, Provider

IMAGE = "echo-env:latest"
STARTS, WARM_UP, STEPS, ROUNDS = 7, 300, 1000, 5
ACTION = {"message": "Hello, World!"}
WAYS = (
    ("without a network, by the relay", {}),
    ("without a network, by a Unix socket", {"uds": True}),
    ("bridge network, published port", {"network": "bridge"}),
)


def run(bench: Bench) -> list[Figure]:
    """Start containers one after the other, then step in one of each kind, in turns."""
    try:
        seconds = sorted(_first_observation() for _ in range(STARTS))
    except (EngineUnavailableError, ImageNotFoundError) as error:
        bench.say(f"Docker is left out: {error}")
        return []
    first = Figure(
        "Docker: call to first observation",
        statistics.median(seconds),
        "s",
        digits=2,
        limit=Limit("most", 1.5),
        low=seconds[0],
        high=seconds[-1],
        note=f"{seconds[0]:.2f} to {seconds[-1]:.2f}, {STARTS} containers without a network",
    )
    return [first, *_steps()]


def _first_observation() -> float:
    began = time.perf_counter()
    with _client(LocalDockerProvider(IMAGE)) as env:
        env.reset()
        return time.perf_counter() - began


def _steps() -> list[Figure]:
    taken: dict[str, list[float]] = {way: [] for way, _ in WAYS}
    with contextlib.ExitStack() as stack:
        envs = {way: stack.enter_context(_client(LocalDockerProvider(IMAGE, **more))) for way, more in WAYS}
        for env in envs.values():
            env.reset()
            _play(env, WARM_UP)
        for _ in range(ROUNDS):  # in turns, so that what else the machine does hits all alike
            for way, env in envs.items():
                taken[way].append(1e6 * _play(env, STEPS) / STEPS)
    return [
        Figure(
            f"Docker: one step, {way}",
            statistics.median(rounds),
            "us",
            low=min(rounds),
            high=max(rounds),
            note=f"{min(rounds):.0f} to {max(rounds):.0f}, {ROUNDS} rounds of {STEPS}",
        )
        for way, rounds in taken.items()
    ]


def _client(provider: Provider) -> contextlib.AbstractContextManager[GenericEnvClient]:
    return GenericEnvClient.with_provider(provider)


def _play(env: GenericEnvClient, steps: int) -> float:
    began = time.perf_counter()
    for _ in range(steps):
        env.step(ACTION)
    return time.perf_counter() - began
