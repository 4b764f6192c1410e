"""Where workspaces come from: each backend holds their programs in its own way, and says how.

| backend | how | a new workspace takes |
|---|---|---|
| `WarmFork` | a fork of a process that is ready, restricted by Landlock, seccomp and limits | 2 to 5 ms |
| `Bubblewrap` | the same within namespaces: files, processes and network of its own | 50 ms |
| `DockerExec` | the same within a container | 100 ms |
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

from openenv.containment import cgroup
from openenv.containment.holding import Holding
from openenv.containment.layers import Layers
from openenv.execution.inside import folder
from openenv.execution.limits import Limits
from openenv.execution.link import Link
from openenv.execution.places import visible
from openenv.execution.workspace import Workspace
from openenv.execution.zygote import Zygote

__all__ = ["Backend", "WarmFork"]

_VARIABLES = {
    "LANG": "C.UTF-8",
    "PYTHONUTF8": "1",
    "PYTHONDONTWRITEBYTECODE": "1",  # a compiled module is no file that the agent changed
    "PYTHONUNBUFFERED": "1",  # what was printed before a kill is seen
    "OPENBLAS_NUM_THREADS": "1",  # its pool would take most of the processes that are allowed
    "OMP_NUM_THREADS": "1",
    "USER": "agent",
    "LOGNAME": "agent",
}


class Backend(ABC):
    """Opens workspaces.

    Attributes:
        limits: What the programs of one workspace may use.
    """

    limits: Limits

    @abstractmethod
    async def open(self) -> Workspace:
        """Return a new, empty workspace.

        Raises:
            IsolationError: What should hold it is not to be had here.
        """

    @property
    @abstractmethod
    def layers(self) -> Layers:
        """Which layers hold the programs.

        Raises:
            IsolationError: Not even the least of them is to be had.
        """


class WarmFork(Backend):
    """Runs programs as restricted forks of a process that has all imports done. Linux only.

    Args:
        limits: What the programs of one workspace may use.
        packages: Installed distributions that their Python may import, such as `numpy`, with what these require.
        preload: Modules to import once, in advance, so that no workspace waits for them.
        read: More files and folders that they may read.
        env: Environment variables besides `PATH`, `HOME`, `TMPDIR` and a few for Python.
        require: Layers that must be active; see `openenv.containment`.
        without: Layers that are not to be used.

    Raises:
        ConfigurationError: A package is not installed.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        packages: Sequence[str] = (),
        preload: Sequence[str] = (),
        read: Sequence[str | os.PathLike[str]] = (),
        env: Mapping[str, str] | None = None,
        require: Collection[str] = (),
        without: Collection[str] = (),
    ) -> None:
        self.limits = limits or Limits()
        self._visible = visible(packages, [os.fspath(path) for path in read])
        self._env = dict(env or {})
        self._require, self._without = require, {*without, "namespaces"}
        self._zygote = Zygote.of(self._visible.search, preload)

    @property
    def layers(self) -> Layers:
        """See `Backend.layers`."""
        return self._holding().layers

    async def open(self) -> Workspace:
        """See `Backend.open`."""
        holding = await asyncio.to_thread(self._holding)
        line = await asyncio.to_thread(self._zygote.keeper)
        _, link = await asyncio.get_running_loop().create_connection(Link, sock=line)
        configuration = await asyncio.to_thread(self._configuration, holding)
        workspace = Workspace(link, holding.layers, self.limits, partial(_remove, configuration["groups"]))
        try:
            await workspace.begin(configuration)
        except BaseException:
            await workspace.close()
            raise
        return workspace

    def _holding(self) -> Holding:
        limits = self.limits
        return Holding(
            read=self._visible.read,
            limits={
                "memory": limits.memory_bytes,
                "processes": limits.processes,
                "files": limits.files,
                "file_size": limits.file_bytes,
                "core": 0,
            },
            memory_bytes=limits.memory_bytes,
            without=self._without,
            require=self._require,
        )

    def _configuration(self, holding: Holding) -> dict[str, Any]:
        restrictions = holding.restrictions("/nonexistent")
        groups: list[str] = []
        if "cgroup" in holding.layers.active:
            totals = {"memory": self.limits.memory_bytes, "processes": self.limits.processes}
            groups = [str(group) for group in cgroup.make(f"openenv-work-{uuid4().hex[:12]}", totals)]
        held = replace(restrictions, write=(), listed=self._visible.listed)
        return {
            "base": None,
            "restrictions": held.to_json(),
            "groups": groups,
            "path": self._visible.packages,
            "disk_bytes": self.limits.disk_bytes,
            "env": {"PATH": _path(), **_VARIABLES, **self._env},
        }


def _remove(groups: Sequence[str], work: str) -> None:
    """Remove what a keeper that was killed has left; any other one has done so itself."""
    folder.remove(os.path.dirname(work))
    for group in groups:
        with contextlib.suppress(OSError):
            os.rmdir(group)


def _path() -> str:
    return os.pathsep.join([os.path.dirname(os.path.realpath(sys.executable)), *os.defpath.split(os.pathsep)])
