"""Workspaces in namespaces: programs have their own file system, processes and network, and restrictions besides.

The keeper runs inside, as process 1: no program there can kill it, and all of them end with it. The work folder is
in memory, on a file system of its own, whose size is the limit of what may be on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

from openenv.containment import cgroup
from openenv.containment.holding import Holding
from openenv.containment.layers import Layers
from openenv.errors import WorkspaceLostError
from openenv.execution.backends import HASH_SEED, ISOLATED, VARIABLES, Backend, process_limits, search_path
from openenv.execution.limits import Limits
from openenv.execution.link import Link
from openenv.execution.places import visible
from openenv.execution.sent import bootstrap, modules
from openenv.execution.workspace import Workspace

__all__ = ["Bubblewrap"]

END_S = 10.0
OWN_PROCESSES = 2
"""bwrap, which stays outside, and the keeper."""

# What a keeper that is root needs for programs that are another user: their folders, their ends.
_CAPABILITIES = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL")

# It begins in the control groups and removes them at last, though this program may be gone by then.
_AROUND = """
trap '' HUP INT TERM
groups=$1
shift
(
    for group in $groups; do echo 0 > "$group/cgroup.procs" || exit 125; done
    exec "$@"
)
status=$?
for group in $groups; do
    tries=0
    until rmdir "$group" 2>&- || [ $tries = 200 ]; do tries=$((tries + 1)); sleep 0.02; done
done
exit $status
"""


class Bubblewrap(Backend):
    """Runs programs in namespaces that `bwrap` makes, restricted in addition. Linux only.

    Files are in memory: of all processes together they and the programs take `memory_bytes + disk_bytes` at most
    where a control group can be made.

    Args:
        limits: What the programs of one workspace may use.
        packages: Installed distributions that their Python may import, such as `numpy`, with what these require.
        preload: Modules to import once for each workspace, before it is ready.
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
        self._preload = list(preload)
        self._env = dict(env or {})
        self._require, self._without = {*require, "namespaces"}, set(without)

    @property
    def layers(self) -> Layers:
        """See `Backend.layers`."""
        return self._holding().layers

    async def open(self) -> Workspace:
        """See `Backend.open`."""
        holding = await asyncio.to_thread(self._holding)
        line, process = await asyncio.to_thread(self._start, holding)
        _, link = await asyncio.get_running_loop().create_connection(Link, sock=line)
        workspace = Workspace(link, holding.layers, self.limits, _end_of(process))
        try:
            await workspace.begin(self._configuration(holding))
        except WorkspaceLostError as error:
            await workspace.close()
            raise WorkspaceLostError(
                f"bubblewrap has ended with status {process.returncode} before the workspace was ready; what it "
                "wrote to this program's standard error says why"
            ) from error
        except BaseException:
            await workspace.close()
            raise
        return workspace

    def _holding(self) -> Holding:
        return Holding(
            read=self._visible.whole,
            limits=process_limits(self.limits),
            memory_bytes=self.limits.memory_bytes,
            without=self._without,
            require=self._require,
        )

    def _start(self, holding: Holding) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        """Start a keeper and return the line to it; it has the modules, but no configuration."""
        program = os.path.realpath(sys.executable)
        namespaces = holding.namespaces(
            tmp_bytes=self.limits.disk_bytes,
            folder="/",
            new_session=False,
            hidden=self._visible.hidden,
            links={f"{os.path.dirname(program)}/{name}": program for name in ("python", "python3")},
            first=True,
            capabilities=_CAPABILITIES,
        )
        keeper = [program, *ISOLATED, "-c", bootstrap("keeper", "keep")]
        groups = " ".join(self._groups(holding))
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = subprocess.Popen(
                    ["/bin/sh", "-c", _AROUND, "sh", groups, *namespaces, "--", *keeper],
                    env={**HASH_SEED, "PATH": os.defpath, "LANG": "C.UTF-8"},
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    start_new_session=True,
                    cwd="/",
                )
            with contextlib.suppress(OSError):  # that it has ended is seen by whoever asks it something
                ours.sendall(modules(compiled=True))
        except BaseException:
            ours.close()
            raise
        return ours, process

    def _groups(self, holding: Holding) -> list[str]:
        if "cgroup" not in holding.layers.active:
            return []
        totals = {
            "memory": self.limits.memory_bytes + self.limits.disk_bytes,
            "processes": self.limits.processes + OWN_PROCESSES,
        }
        return [str(group) for group in cgroup.make(f"openenv-work-{uuid4().hex[:12]}", totals)]

    def _configuration(self, holding: Holding) -> dict[str, Any]:
        held = replace(
            holding.restrictions("/nonexistent"),
            write=("/dev/shm",),  # noqa: S108 - the one inside
            listed=("/", *self._visible.listed),
        )
        if held.read is not None:
            held = replace(held, read=(*self._visible.read, "/proc"))
        return {
            "base": "/tmp",  # noqa: S108 - the one inside
            "restrictions": held.to_json(),
            "groups": [],
            "emptied": ["/tmp", "/dev/shm"],  # noqa: S108
            "path": self._visible.packages,
            "disk_bytes": self.limits.disk_bytes,
            "env": {"PATH": search_path(), **VARIABLES, **self._env},
        }


def _end_of(process: subprocess.Popen[bytes]) -> Callable[[], Awaitable[object]]:
    return partial(asyncio.to_thread, _wait, process)


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()  # and with it, by --die-with-parent, all that is inside
        process.wait()
