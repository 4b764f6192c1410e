"""How long `openenv --help` takes."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks._commands import seconds, spread
from benchmarks._figures import Bench, Figure, Limit
from benchmarks._processes import environ

RUNS = 9


def run(_bench: Bench) -> list[Figure]:
    """Measure the installed command, or what it would run if this project is not installed but on the path."""
    script = Path(sys.executable).with_name("openenv")
    if script.exists():
        command = [str(script), "--help"]
    else:
        command = [sys.executable, "-c", "from openenv.cli.main import main; main()", "--help"]
    taken = seconds(command, environ(":".join(path for path in sys.path if path)), RUNS)
    median, low, high = spread(taken)
    note = f"{low:.3f} to {high:.3f}"
    return [
        Figure("openenv --help", median, "s", digits=3, limit=Limit("most", 0.5), low=low, high=high, note=note)
    ]
