"""Which folders an environment's server needs to see, so that a sandbox can leave out everything else.

They are found by looking, as an interpreter finds its modules; nothing of the environment is imported. A home is
never among them, whatever the search path says: what lies there is named, or not seen.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import site
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from openenv.errors import ConfigurationError

__all__ = ["exposes_home", "of_interpreter", "package_of", "search_path"]

_logger = logging.getLogger(__name__)

ASKING_BUDGET_S = 30.0
_QUESTION = "import json, sys; print(json.dumps([sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path]))"


def search_path(text: str) -> list[str]:
    """Return the folders of a PYTHONPATH as absolute paths; those that are not there, or hold a home, are left out.

    Args:
        text: As the environment variable has it.
    """
    found = [os.path.abspath(path) for path in text.split(os.pathsep) if path]
    return [path for path in dict.fromkeys(found) if os.path.exists(path) and not _left_out(path)]


def of_interpreter(python: str) -> list[str]:
    """Return the folders that an interpreter runs and imports from, without those of PYTHONPATH.

    Raises:
        ConfigurationError: It cannot be run.
    """
    ours = [sys.base_prefix, str(Path(__file__).parents[2])]
    if python == sys.executable:
        return _existing([sys.prefix, *ours, *_site_packages()])
    return _existing([*ours, *_told_by(python)])


def package_of(target: str) -> str | None:
    """Return the file or folder of the package that a target is in; None if this program cannot find it.

    Args:
        target: A folder, a package's name, or `module:attribute`.
    """
    if os.path.isdir(target):
        return os.path.realpath(target)
    top = target.partition(":")[0].partition(".")[0]
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    folder = next(iter(spec.submodule_search_locations or ()), None)
    return os.path.realpath(folder) if folder else spec.origin


def exposes_home(path: str) -> bool:
    """Return whether a folder is the user's home, or the home is in it."""
    home, path = os.path.realpath(Path.home()), os.path.realpath(path)
    return home == path or home.startswith(path.rstrip("/") + "/")


def _left_out(path: str) -> bool:
    if exposes_home(path):
        _logger.warning("%s is on PYTHONPATH and is or holds the home folder: the sandbox does not see it.", path)
        return True
    return False


def _existing(paths: Iterable[str]) -> list[str]:
    every = [form for path in paths if path for form in (os.path.abspath(path), os.path.realpath(path))]
    return [path for path in dict.fromkeys(every) if os.path.exists(path) and not exposes_home(path)]


def _site_packages() -> Iterator[str]:
    """Yield where installed packages are, and what they put on the path from elsewhere, as editable ones do."""
    places = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    yield from places
    for place in places:
        for file in sorted(Path(place).glob("*.pth")):
            try:
                lines = file.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError):
                continue
            for line in lines:
                if line.strip() and not line.startswith(("#", "import ", "import\t")):
                    yield os.path.join(place, line.strip())


@functools.cache
def _told_by(python: str) -> tuple[str, ...]:
    try:
        told = subprocess.run(
            [python, "-I", "-c", _QUESTION], capture_output=True, text=True, timeout=ASKING_BUDGET_S, check=True
        )
        paths = json.loads(told.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise ConfigurationError(f"The interpreter {python} cannot be run: {error}") from error
    return (os.path.dirname(os.path.abspath(python)), *map(str, paths))
