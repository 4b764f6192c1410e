"""Tasks in the layout of terminal-bench: a folder each, with an instruction, files to begin with, and tests.

Only `task.yaml` is read here. The tests stay where they are until the agent is done, and a solution is for
policies and for whoever wrote the task.
"""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from openenv.errors import ConfigurationError, InvalidRequestError

SHIPPED = Path(__file__).resolve().parent.parent / "tasks"

# What belongs to the layout; besides `environment/`, what is left are files that the agent begins with.
_NOT_FOR_THE_AGENT = {
    *("task.yaml", "tests", "solution.sh", "solution.yaml", "run_tests.sh", "run-tests.sh", "environment"),
    *("Dockerfile", "docker-compose.yaml", ".dockerignore", "__pycache__"),
}


@dataclass(frozen=True)
class Task:
    """Something to do in a terminal.

    Attributes:
        id: The name of its folder.
        folder: Where it is.
        instruction: What the agent is told.
        max_steps: Actions that an episode may have.
        agent_timeout_s: Seconds that an episode may take.
        test_timeout_s: Seconds that the tests may take.
        reward: `share` of the tests that pass, or 1 if `all` do and else 0.
    """

    id: str
    folder: Path
    instruction: str
    max_steps: int
    agent_timeout_s: float
    test_timeout_s: float
    reward: Literal["share", "all"]

    @property
    def tests(self) -> Path:
        """The folder of its tests."""
        return self.folder / "tests"

    def test_files(self) -> list[Path]:
        """Return its tests in Python."""
        return sorted(self.tests.rglob("test_*.py"))

    def test_scripts(self) -> list[Path]:
        """Return its tests that are shell scripts. In terminal-bench `run-tests.sh` only starts pytest."""
        return sorted([*self.tests.glob("*.sh"), *self.folder.glob("run[-_]tests.sh")])

    def files(self) -> bytes:
        """Return what is put into the work folder before the episode, as a tar archive."""
        given = self.folder / "environment"
        folder = given if given.is_dir() else self.folder
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path in sorted(folder.iterdir()):
                if path.name not in _NOT_FOR_THE_AGENT:
                    archive.add(path, arcname=path.name)
        return packed.getvalue()


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
        if not isinstance(told, Mapping):
            raise TypeError("it is no mapping")
        task = _task(path.parent, told)
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} is no task: {type(error).__name__}: {error}") from error
    if not (task.test_files() or task.test_scripts()):
        raise ConfigurationError(f"The task {task.id} has no tests: neither test_*.py nor *.sh in {task.tests}")
    return task


def _task(folder: Path, told: Mapping[str, Any]) -> Task:
    reward = told.get("reward", "share")
    if reward not in ("share", "all"):
        raise ValueError(f"reward is {reward!r}; it can be share or all")
    return Task(
        id=folder.name,
        folder=folder,
        instruction=str(told["instruction"]).strip(),
        max_steps=int(told.get("max_steps", 50)),
        agent_timeout_s=float(told.get("max_agent_timeout_sec", 900)),
        test_timeout_s=float(told.get("max_test_timeout_sec", 60)),
        reward=reward,
    )
