"""From the call to the first observation: a server started by each provider, a client connected, a reset answered.

Providers take turns, so that whatever else the machine does hits all alike. Each start is a new server of the
environment that says back what it is told, run by an interpreter with the base install alone: what development has
beside it makes an interpreter start later.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks._figures import Bench, BenchmarkError, Figure, Limit
from benchmarks._venv import base_install
from openenv import containment
from openenv.client import GenericEnvClient
from openenv.errors import OpenEnvError
from openenv.providers import ProcessProvider, Provider, SandboxProvider

ENVIRONMENT = Path(__file__).parents[1] / "envs" / "echo_env"
PATIENCE_S = 60.0

# Another provider is one row: what it is called, how it is made, what its figure should be at most, in seconds.
Row = tuple[str, Callable[[], Provider], Limit | None]


def run(bench: Bench) -> list[Figure]:
    """Start, reset and stop each provider in turn; the first round does not count."""
    with tempfile.TemporaryDirectory(prefix="openenv-start-") as folder:
        rows = _rows(str(base_install(Path(folder)) / "bin" / "python"))
        taken: dict[str, list[float]] = {name: [] for name, _, _ in rows}
        for turn in range(bench.rounds + 1):
            for name, make, _ in rows:
                seconds = _first_observation(name, make())
                if turn:
                    taken[name].append(seconds)
    plain = statistics.median(taken["process"])
    figures = []
    for name, _, limit in rows:
        median = statistics.median(taken[name])
        low, high = min(taken[name]), max(taken[name])
        note = f"{low:.2f} to {high:.2f}, {bench.rounds} starts"
        figures.append(
            Figure(f"first observation: {name}", median, "s", digits=2, limit=limit, low=low, high=high, note=note)
        )
        if name != "process":
            ratio = Limit("most", 1.5) if name.startswith("sandbox") else None
            figures.append(Figure(f"... in plain processes' time: {name}", median / plain, digits=2, limit=ratio))
    return figures


def _rows(python: str) -> list[Row]:
    def process() -> Provider:
        return ProcessProvider(ENVIRONMENT, python=python, ready_timeout_s=PATIENCE_S)

    def sandbox(*without: str) -> Callable[[], Provider]:
        return lambda: SandboxProvider(ENVIRONMENT, python=python, without=without, ready_timeout_s=PATIENCE_S)

    rows: list[Row] = [("process", process, None)]
    absent = containment.probe()
    if absent["namespaces"] is None:
        rows.append(("sandbox", sandbox(), Limit("most", 0.6)))
    if absent["landlock"] is None:
        rows.append(("sandbox without namespaces", sandbox("namespaces"), Limit("most", 0.6)))
    return rows


def _first_observation(name: str, provider: Provider) -> float:
    began = time.perf_counter()
    try:
        with GenericEnvClient.with_provider(provider) as env:
            env.reset()
            return time.perf_counter() - began
    except OpenEnvError as error:
        raise BenchmarkError(f"{name}: {error}") from error
