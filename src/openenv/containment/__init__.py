"""What holds a process in: each layer a module of its own, and a report of which of them are active.

| layer | module | what it does |
|---|---|---|
| `namespaces` | `bubblewrap` | the process sees its own files, processes, network and nothing else |
| `landlock` | `landlock` | files by path, TCP connections, signals and abstract sockets, refused by the kernel |
| `seccomp` | `seccomp` | system calls that an environment does not need are refused |
| `uid` | `identity` | a user id that nobody else has (only root can give one) |
| `rlimits` | `rlimits` | memory, CPU time, files, processes of each process |
| `cgroup` | `cgroup` | memory, processes and CPU share of all processes together |

All but the first and the last are restrictions that a process lays upon itself, for good and for all that it
starts. So they are one object, `Restrictions`, that a process applies after a fork (`restrictions.apply()`) or
has applied before another program is run (`python -m openenv.containment JSON -- COMMAND`). Import what is
needed before restricting.

Nothing here is imported before it is used: the program that restricts and runs has to be up within milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openenv.containment.egress import deny_egress
    from openenv.containment.layers import Layers, probe
    from openenv.containment.restrictions import Restrictions

__all__ = ["Layers", "Restrictions", "deny_egress", "probe"]

_HOMES = {"Layers": "layers", "Restrictions": "restrictions", "deny_egress": "egress", "probe": "layers"}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
