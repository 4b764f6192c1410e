"""Runs what agents write: Python, commands, shells, in processes that are held.

| | |
|---|---|
| `Workspace` | folder, interpreter and shells of one episode |
| `Execution` | what came of one call |
| `Limits` | time, memory, processes, files, disk, output |
| `WarmFork`, `Bubblewrap`, `DockerExec` | what holds the programs; `backend()` takes the first that can be had |

Nothing here is imported before it is used: what runs in other processes has to be up within milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openenv.execution.backends import Backend, backend
    from openenv.execution.bubblewrap import Bubblewrap
    from openenv.execution.docker_exec import DockerExec
    from openenv.execution.limits import Limits
    from openenv.execution.results import CodeError, Execution
    from openenv.execution.warm_fork import WarmFork
    from openenv.execution.workspace import Workspace

__all__ = [
    "Backend",
    "Bubblewrap",
    "CodeError",
    "DockerExec",
    "Execution",
    "Limits",
    "WarmFork",
    "Workspace",
    "backend",
]

_HOMES = {
    "Backend": "backends",
    "Bubblewrap": "bubblewrap",
    "CodeError": "results",
    "DockerExec": "docker_exec",
    "Execution": "results",
    "Limits": "limits",
    "WarmFork": "warm_fork",
    "Workspace": "workspace",
    "backend": "backends",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
