"""Warm Docker servers from a pool, beside a container started for each lease.

A lease is: taken from the pool, a client connected, one reset and one step, given back. It takes the image
`echo-env:latest` (`openenv build envs/echo_env`). Where there is no engine or no such image it says so and measures
nothing.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from benchmarks._figures import Bench, Figure, Limit
from benchmarks.docker_start import ACTION, IMAGE
from openenv.client import GenericEnvClient
from openenv.errors import EngineUnavailableError, ImageNotFoundError, OpenEnvError
from openenv.providers import LocalDockerProvider, Provider, ProviderPool
from openenv.providers.docker.engine import connect

SIZE, LEASES, ROUNDS, SINGLE = 8, 32, 5, 40
PATIENCE_S = 180.0


def run(bench: Bench) -> list[Figure]:
    """Lease one after the other, then all at once; then start a container for each."""
    try:
        connect().images.get(IMAGE)
    except (EngineUnavailableError, ImageNotFoundError) as error:
        bench.say(f"The pool of Docker servers is left out: {error}")
        return []
    except Exception as error:
        bench.say(f"The pool of Docker servers is left out; build its image with `openenv build`: {error}")
        return []
    with ProviderPool(_container, size=SIZE, lease_timeout_s=PATIENCE_S) as pool:
        pool.wait_warm(timeout_s=PATIENCE_S)
        _first_observation(pool.lease())
        single = sorted(1000 * _first_observation(pool.lease()) for _ in range(SINGLE))
        warm = sorted(_all(pool.lease) for _ in range(ROUNDS))
        metrics = pool.metrics()
    cold = _all(lambda: _container(""), at_once=SIZE)
    per_s, cold_per_s = LEASES / statistics.median(warm), LEASES / cold
    return [
        Figure(
            "Docker from a warm pool: call to first observation",
            statistics.median(single),
            "ms",
            digits=1,
            limit=Limit("most", 30),
            low=single[0],
            high=single[-1],
            note=f"{single[0]:.1f} to {single[-1]:.1f}, {SINGLE} leases",
        ),
        Figure(
            f"{LEASES} leases from {SIZE} warm containers",
            per_s,
            "leases/s",
            digits=1,
            low=LEASES / warm[-1],
            high=LEASES / warm[0],
            note=f"{ROUNDS} rounds, no lease failed; {metrics.failed} starts failed, {metrics.replaced} replaced",
        ),
        Figure(f"{LEASES} containers, {SIZE} at a time", cold_per_s, "leases/s", digits=1),
        Figure("... pool ÷ a container each", per_s / cold_per_s, digits=1, limit=Limit("least", 10)),
    ]


def _container(image: str) -> Provider:
    return LocalDockerProvider(IMAGE, ready_timeout_s=PATIENCE_S)


def _all(make: Callable[[], Provider], at_once: int = LEASES) -> float:
    """Return the seconds that all leases took together. A lease that fails ends the benchmark."""
    began = time.perf_counter()
    with ThreadPoolExecutor(at_once) as threads:
        for done in [threads.submit(_first_observation, make(), step=True) for _ in range(LEASES)]:
            done.result()
    return time.perf_counter() - began


def _first_observation(provider: Provider, step: bool = False) -> float:
    began = time.perf_counter()
    with GenericEnvClient.with_provider(provider) as env:
        env.reset()
        taken = time.perf_counter() - began
        if step and env.step(ACTION).reward is None:
            raise OpenEnvError("the echo environment gave no reward")
        return taken
