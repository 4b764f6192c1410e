"""A virtual environment as users have one: wheels, and nothing that only development needs."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks._commands import output
from benchmarks._processes import environ

ROOT = Path(__file__).parents[1]


def base_install(folder: Path, *projects: Path) -> Path:
    """Return a new virtual environment in the folder with this project's wheel, and those of other projects.

    Args:
        folder: An empty one.
        projects: The folders of environments' packages.
    """
    alone = environ(python_path="")
    wheels, venv = folder / "wheels", folder / "venv"
    build = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--wheel-dir", str(wheels)]
    output([*build, str(ROOT), *map(str, projects)], alone, timeout_s=120)
    output([sys.executable, "-m", "venv", str(venv)], alone)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "-qq"]
    made = map(str, wheels.glob("*.whl"))
    output([*pip, "-c", str(ROOT / "constraints.txt"), *made], alone, timeout_s=300)
    return venv
