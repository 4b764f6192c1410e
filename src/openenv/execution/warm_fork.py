"""Workspaces whose programs are restricted forks of a process that is ready: the quickest, and the least apart.

Files and network are held by Landlock and seccomp alone, in the file system and among the processes of this
machine, so the kernel has to have Landlock.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from openenv import settings
from openenv.containment import cgroup, landlock
from openenv.containment.holding import Holding
from openenv.containment.layers import Layers
from openenv.containment.removal import remove
from openenv.errors import IsolationError
from openenv.execution.backends import VARIABLES, Backend, process_limits, search_path
from openenv.execution.inside import tree
from openenv.execution.limits import Limits
from openenv.execution.link import Link
from openenv.execution.places import visible
from openenv.execution.workspace import Workspace
from openenv.execution.zygote import Zygote

__all__ = ["WarmFork"]

SLACK = 2048
"""Processes that all workspaces of a user may have together, where they are counted by the user."""


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
        configuration = self._configuration(holding)  # here, so that nobody can be cancelled who has made groups

        async def gone() -> None:
            await asyncio.to_thread(_remove, workspace.folder, configuration["groups"])

        workspace = Workspace(link, holding.layers, self.limits, gone)
        try:
            await workspace.begin(configuration)
        except BaseException:
            await workspace.close()
            raise
        return workspace

    @property
    def tells_programs_apart(self) -> bool:
        """Whether programs own nothing but their own files, by a user id of their own or because of the server's.

        Else modes, owners and times of files cannot be changed, which `git`, `tar` and others cannot do without.
        """
        return self._holding().uid is not None or settings.own_user()

    def _holding(self) -> Holding:
        if landlock.abi() < landlock.SCOPES and not tree.can_list():
            raise IsolationError(
                "The processes of a workspace cannot be told from others here: /proc cannot be read, and the "
                f"kernel's Landlock is of version {landlock.abi()}, not {landlock.SCOPES}. Install bubblewrap for "
                "what holds this server (Debian: apt-get install bubblewrap), or take a newer kernel."
            )
        return Holding(
            read=self._visible.read,
            limits=process_limits(self.limits),
            memory_bytes=self.limits.memory_bytes,
            own_user=settings.own_user(),
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
        processes = None
        if holding.uid is None and not groups:  # the system counts all that this user has; so the keeper does, too
            processes = self.limits.processes
            held = replace(held, limits=_with_slack(held.limits, processes))
        return {
            "base": tempfile.gettempdir(),
            "restrictions": held.to_json(),
            "groups": groups,
            "processes": processes,
            "path": self._visible.packages,
            "disk_bytes": self.limits.disk_bytes,
            "env": {"PATH": search_path(), **VARIABLES, **self._env},
        }


def _with_slack(limits: Mapping[str, int], processes: int) -> dict[str, int]:
    """Return limits under which one workspace does not take the processes of another; a bomb still ends at them."""
    counted = {"processes": limits["processes"] - processes + SLACK} if "processes" in limits else {}
    return {**limits, **counted}


def _remove(work: str, groups: Sequence[str]) -> None:
    """Remove what a keeper that was killed has left; any other one has done so itself."""
    if work:
        remove(os.path.dirname(work))
    for group in groups:
        with contextlib.suppress(OSError):
            os.rmdir(group)
