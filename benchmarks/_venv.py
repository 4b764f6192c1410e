"""A virtual environment as users have one: without what only development needs."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks._commands import output
from benchmarks._processes import environ

ROOT = Path(__file__).parents[1]


def base_install(folder: Path) -> Path:
    """Return a new virtual environment in the folder, which is an empty one, with this project's wheel in it."""
    alone = environ(python_path="")
    wheels, venv = folder / "wheels", folder / "venv"
    output(
        [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--wheel-dir", str(wheels), str(ROOT)],
        alone,
        timeout_s=120,
    )
    output([sys.executable, "-m", "venv", str(venv)], alone)
    (wheel,) = wheels.glob("openenv-*.whl")
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "-qq"]
    output([*pip, "-c", str(ROOT / "constraints.txt"), str(wheel)], alone, timeout_s=300)
    return venv
