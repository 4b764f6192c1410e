"""Makes the repositories of a task, once: episodes begin with a copy."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from openenv.errors import ConfigurationError
from openenv.execution import Backend

from . import bare
from .settings import WORKING
from .tasks import Task

# `commit` is `git commit`, each a minute later, so that ids are the same on every machine.
_PRELUDE = r"""
set -e
moment=1767225600
commit() {
    moment=$((moment + 60))
    GIT_AUTHOR_DATE="$moment +0000" GIT_COMMITTER_DATE="$moment +0000" git commit -q "$@"
}
export GIT_AUTHOR_DATE="$moment +0000" GIT_COMMITTER_DATE="$moment +0000"
"""


@dataclass(frozen=True)
class Built:
    """The state that episodes of a task begin with.

    Attributes:
        files: All files, as a tar archive.
        repositories: Of each repository that is checked and there already, what `bare.cleaned` returns.
    """

    files: bytes
    repositories: dict[str, bytes]


class Builder:
    """Makes each task's repositories when they are first asked for.

    Args:
        held: Opens the workspaces in which they are made.
    """

    def __init__(self, held: Backend) -> None:
        self._backend = held
        self._built: dict[str, Built] = {}

    async def built(self, task: Task) -> Built:
        """Return the state that an episode begins with.

        Raises:
            ConfigurationError: The task's script has failed.
        """
        known = self._built.get(task.build)
        if known is None:  # two that ask at once make the same
            known = self._built[task.build] = await self._build(task)
        return known

    async def _build(self, task: Task) -> Built:
        async with await self._backend.open() as workspace:
            done = await workspace.run(["/bin/bash", "-c", _PRELUDE + task.build], env=WORKING, timeout_s=60.0)
            if not done.ok:
                raise ConfigurationError(f"The task {task.id} could not be made: {done.stderr[-2000:]}")
            files = await workspace.pack()
            repositories = {}
            for name, place in task.repositories.items():
                with contextlib.suppress(FileNotFoundError):  # it is for the agent to make
                    repositories[name] = await asyncio.to_thread(bare.cleaned, await workspace.pack(place))
        return Built(files, repositories)
