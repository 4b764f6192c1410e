"""Which layers this machine has, and which of them a process is held by."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from openenv.containment import bubblewrap, cgroup, identity, landlock, seccomp

__all__ = ["NAMES", "Layers", "probe"]

NAMES = ("namespaces", "landlock", "seccomp", "uid", "cgroup", "rlimits")


@dataclass(frozen=True)
class Layers:
    """Which layers hold a process.

    Attributes:
        active: Those that do, in the order of `NAMES`.
        absent: Those that do not, with the reason.
        weaknesses: What is not held because of what is absent, in sentences.
    """

    active: tuple[str, ...]
    absent: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    weaknesses: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"held by {', '.join(self.active) or 'nothing'}"
        if self.absent:
            text += "; without " + ", ".join(f"{name} ({reason})" for name, reason in self.absent.items())
        return ". ".join([text, *self.weaknesses])


def probe() -> dict[str, str | None]:
    """Return, for each layer, None if this process can have it, else why not.

    Nothing of this process is changed. It is found out once and takes some ten milliseconds.
    """
    return dict(_probe())


@functools.cache
def _probe() -> Mapping[str, str | None]:
    own_uid = identity.possible()
    return {
        "namespaces": bubblewrap.unavailable(own_uid is None),
        "landlock": _landlock(),
        "seccomp": seccomp.unavailable(),
        "uid": own_uid,
        "cgroup": cgroup.unavailable(),
        "rlimits": None,
    }


def _landlock() -> str | None:
    version = landlock.abi()
    if version >= landlock.FILES:
        return None
    return f"the kernel's Landlock is of version {version}" if version else "the kernel has no Landlock"
