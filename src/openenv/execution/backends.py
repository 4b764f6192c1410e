"""Where workspaces come from: each backend holds their programs in its own way, and says how.

| backend | how | a new workspace, with its first print(1) |
|---|---|---|
| `WarmFork` | a fork of a process that is ready, restricted by Landlock, seccomp and limits | 12 ms |
| `Bubblewrap` | the same within namespaces: files, processes and network of its own | 80 ms |
| `DockerExec` | the same within a container | 110 ms |
"""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self

from openenv.containment.layers import Layers
from openenv.errors import IsolationError
from openenv.execution.limits import Limits
from openenv.execution.workspace import Workspace

__all__ = ["HASH_SEED", "ISOLATED", "VARIABLES", "Backend", "backend", "process_limits", "search_path"]

VARIABLES = {
    "LANG": "C.UTF-8",
    "PYTHONUTF8": "1",
    "PYTHONDONTWRITEBYTECODE": "1",  # a compiled module is no file that the agent changed
    "PYTHONUNBUFFERED": "1",  # what was printed before a kill is seen
    "OPENBLAS_NUM_THREADS": "1",  # its pool would take most of the processes that are allowed
    "OMP_NUM_THREADS": "1",
    "USER": "agent",
    "LOGNAME": "agent",
}
"""Environment variables that programs have besides `PATH`, `HOME`, `TMPDIR` and those that were named."""

ISOLATED, HASH_SEED = ("-s", "-P", "-S"), {"PYTHONHASHSEED": "0"}
"""How keepers are started. Their forks are the interpreters of programs, and a fork keeps how texts are hashed:
with one seed the same code goes through its sets in the same order each time. So this is `-I` without its `-E`."""


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

    async def close(self) -> None:
        """Give back what the backend itself keeps, when its workspaces are closed. May be called more than once."""
        return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def backend(limits: Limits | None = None, **options: Any) -> Backend:
    """Return the backend that suits this machine.

    That is `WarmFork`, the quickest, where the server's user owns nothing that programs could spoil: as root,
    who gives each workspace a user id of its own, and in an image or a sandbox (`OPENENV_OWN_USER=1`). Else it is
    `Bubblewrap`, where there is bubblewrap, and `WarmFork` again where there is none.

    Args:
        limits: What the programs of one workspace may use.
        **options: Those that both take: `packages`, `preload`, `read`, `env`, `require`, `without`.

    Raises:
        IsolationError: Neither can be had; it says why, and what to install.
        ConfigurationError: A package is not installed.
    """
    from openenv.execution.bubblewrap import Bubblewrap
    from openenv.execution.warm_fork import WarmFork

    warm, namespaces = WarmFork(limits, **options), Bubblewrap(limits, **options)
    reasons = {made: reason for made in (warm, namespaces) if (reason := _unavailable(made))}
    if warm not in reasons and (warm.tells_programs_apart or namespaces in reasons):
        return warm
    if namespaces not in reasons:
        return namespaces
    raise IsolationError(
        "Nothing here can hold what an agent wrote. It takes a Linux of 6.2 or later with Landlock, bubblewrap "
        "(Debian: apt-get install bubblewrap), or a container engine (DockerExec). " + " ".join(reasons.values())
    )


def _unavailable(made: Backend) -> str:
    try:
        _ = made.layers
    except IsolationError as error:
        return f"{type(made).__name__}: {error}"
    return ""


def process_limits(limits: Limits) -> dict[str, int]:
    """Return what each process may use, as `containment.rlimits` names it."""
    return {
        "memory": limits.memory_bytes,
        "processes": limits.processes,
        "files": limits.files,
        "file_size": limits.file_bytes,
        "core": 0,
    }


def search_path() -> str:
    """Return where programs are looked for: beside this Python, then where the system has them."""
    return os.pathsep.join([os.path.dirname(os.path.realpath(sys.executable)), *os.defpath.split(os.pathsep)])
