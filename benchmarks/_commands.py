"""How long a short-lived process takes, as whoever types it waits for it."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence

from benchmarks._figures import BenchmarkError


def output(command: Sequence[str], environment: Mapping[str, str], timeout_s: float = 60) -> str:
    """Run a command and return what it printed.

    Raises:
        BenchmarkError: It failed, or took too long.
    """
    try:
        ran = subprocess.run(
            command, env=dict(environment), capture_output=True, text=True, timeout=timeout_s, check=True
        )
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "").strip().splitlines()[-5:]
        raise BenchmarkError("\n".join([f"{' '.join(command)} failed:", *lines])) from error
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"{' '.join(command)} took more than {timeout_s:g} s") from error
    return ran.stdout


def seconds(
    command: Sequence[str], environment: Mapping[str, str], runs: int = 9, *, warm_up: bool = True
) -> list[float]:
    """Return the wall clock seconds of several runs, after one that is not counted and fills the caches."""
    if warm_up:
        output(command, environment)
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        output(command, environment)
        taken.append(time.perf_counter() - start)
    return taken


def spread(taken: list[float]) -> tuple[float, float, float]:
    """Return median, lowest and highest."""
    return statistics.median(taken), min(taken), max(taken)
