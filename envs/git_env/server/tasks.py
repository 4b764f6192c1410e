"""Tasks: what is to be done in which repositories, how these are made, and how the result is checked.

A task is a folder with a `task.yaml` and a `build.sh`. The checks are command lines in `task.yaml`; they are about
objects and references and run where nothing of the agent's is (see `judge`), so they can say what they look for.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from openenv.errors import ConfigurationError, InvalidRequestError

SHIPPED = Path(__file__).resolve().parent.parent / "tasks"


@dataclass(frozen=True)
class Task:
    """Something to do with git.

    Attributes:
        id: The name of its folder.
        instruction: What the agent is told.
        build: A script for bash that makes the repositories; see `repositories`.
        start: The folder that commands begin in.
        repositories: Where the git folders are that are checked, by the names that checks have for them.
        checks: Command lines that pass with exit status 0, by what they are about.
        max_steps: Actions that an episode may have.
    """

    id: str
    instruction: str
    build: str
    start: str
    repositories: Mapping[str, str]
    checks: Mapping[str, str]
    max_steps: int


class Tasks:
    """The tasks of a folder.

    Args:
        folder: Where they are, a folder each; by default those that come with the environment.

    Raises:
        ConfigurationError: There are none, or one of them is not complete.
    """

    def __init__(self, folder: Path | str = SHIPPED) -> None:
        found = sorted(Path(folder).resolve().glob("*/task.yaml"))
        self._tasks = {path.parent.name: _read(path) for path in found}
        if not self._tasks:
            raise ConfigurationError(f"There are no tasks in {folder}: each is a folder with a task.yaml")

    @property
    def ids(self) -> list[str]:
        """The names of all of them, sorted."""
        return list(self._tasks)

    def choose(self, task_id: str | None, seed: int | None) -> Task:
        """Return the task of a name; without one, one that the seed decides.

        Raises:
            InvalidRequestError: There is no such task.
        """
        if task_id is None:
            return self._tasks[random.Random(seed).choice(self.ids)]
        if task_id not in self._tasks:
            raise InvalidRequestError(f"There is no task {task_id!r}; there are {', '.join(self.ids)}")
        return self._tasks[task_id]


def _read(path: Path) -> Task:
    try:
        told = yaml.safe_load(path.read_text("utf-8"))
        return _task(path.parent, told)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} is no task: {type(error).__name__}: {error}") from error


def _task(folder: Path, told: Mapping[str, Any]) -> Task:
    checks = {str(name): str(line) for name, line in told["checks"].items()}
    repositories = {str(name): str(place) for name, place in told["repositories"].items()}
    if not checks:
        raise ValueError("it has no checks")
    if not all(name.isidentifier() for name in repositories) or "work" not in repositories:
        raise ValueError("repositories have names like variables, and one of them is work")
    return Task(
        id=folder.name,
        instruction=str(told["instruction"]).strip(),
        build=(folder / "build.sh").read_text("utf-8"),
        start=str(told.get("start", ".")),
        repositories=repositories,
        checks=checks,
        max_steps=int(told.get("max_steps", 40)),
    )
