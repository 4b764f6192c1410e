"""Release 0.10.0 of the `openenv` distribution, in a virtual environment of its own.

It is run, by its public names, and never read. Made on demand with pip, kept for the next time.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks._figures import BenchmarkError
from benchmarks._processes import environ

VERSION = "0.10.0"
HOME = Path(__file__).parent / ".peer-venv"
_INSTALL_S = 600


class Peer:
    """Finds the peer, or makes it when somebody first asks.

    Args:
        venv: A virtual environment that has it; None for `benchmarks/.peer-venv`, made on demand.
        wanted: Whether to compare at all.
        say: Tells whoever waits that this takes a while.
    """

    def __init__(
        self, venv: Path | None = None, *, wanted: bool = True, say: Callable[[str], None] = print
    ) -> None:
        self.venv = venv or HOME
        self._given = venv is not None
        self._say = say
        self._absent = "" if wanted else "switched off"

    @property
    def absent(self) -> str:
        """Why there is none; empty as long as there may be one."""
        return self._absent

    def existing(self) -> str | None:
        """Return the path of its Python if it is there already."""
        return None if self._absent or _version(self._python) != VERSION else str(self._python)

    def python(self) -> str | None:
        """Return the path of its Python, after installing it if need be; None if that is not possible."""
        if self._absent:
            return None
        if _version(self._python) != VERSION:
            try:
                self._make()
            except BenchmarkError as error:
                self._absent = str(error)
                return None
        return str(self._python)

    @property
    def _python(self) -> Path:
        return self.venv / "bin" / "python"

    def _make(self) -> None:
        if self._given:
            raise BenchmarkError(f"{self.venv} has no openenv {VERSION}")
        self._say(f"Installing openenv {VERSION} into {HOME.parent.name}/{HOME.name}, once (half a gigabyte) ...")
        shutil.rmtree(self.venv, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(self.venv)])
        _run([str(self._python), "-m", "pip", "install", "--quiet", f"openenv=={VERSION}"])
        if (found := _version(self._python)) != VERSION:
            raise BenchmarkError(f"pip installed {found or 'nothing'} instead")


def _run(command: list[str]) -> None:
    try:
        subprocess.run(
            command, env=environ(python_path=""), check=True, capture_output=True, text=True, timeout=_INSTALL_S
        )
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"installing took more than {_INSTALL_S} s") from error
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "").strip().splitlines() or ["no reason given"]
        raise BenchmarkError(f"it could not be installed: {lines[-1]}") from error


def _version(python: Path) -> str | None:
    program = "from importlib.metadata import version; print(version('openenv'))"
    try:
        ran = subprocess.run(
            [str(python), "-c", program],
            check=False,
            env=environ(python_path=""),
            capture_output=True,
            text=True,
            timeout=60,
            cwd="/",
        )
    except OSError:
        return None
    return ran.stdout.strip() if ran.returncode == 0 else None
