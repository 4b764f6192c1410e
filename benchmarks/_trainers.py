"""Programs that need the libraries of trainers, which live in an environment of their own: `make test-trainers`."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks._commands import output
from benchmarks._figures import Bench
from benchmarks._processes import environ
from openenv.providers import ProcessProvider

ROOT = Path(__file__).parents[1]
PATIENCE_S = 300.0


def ran(bench: Bench, mode: str, application: str) -> dict[str, Any] | None:
    """Return what `trainers/trl_runs.py` has measured against an application; None where TRL is not installed.

    Raises:
        BenchmarkError: It failed.
    """
    python = _python()
    if python is None:
        bench.say("What TRL spends is left out; its libraries are installed by `make test-trainers`")
        return None
    variables = environ(f"{ROOT / 'src'}:{ROOT}") | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    program = str(Path(__file__).with_name("trainers") / "trl_runs.py")
    with ProcessProvider(f"benchmarks.trainers.environment:{application}", cwd=ROOT) as server:
        said = output([python, program, mode, server.base_url], variables, PATIENCE_S)
    measured: dict[str, Any] = json.loads(said.splitlines()[-1])
    return measured


def _python() -> str | None:
    if importlib.util.find_spec("trl") is not None:
        return sys.executable
    other = ROOT / ".venv-trainers" / "bin" / "python"
    return str(other) if other.exists() else None
