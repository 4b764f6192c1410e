"""What a process lays upon itself, as one object: applied here and now, or by the entry before another program.

It is plain data with a JSON form: the same object can be applied in a fork and be handed to another process.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from openenv.containment import identity, landlock, rlimits, seccomp

__all__ = ["EXIT_UNRESTRICTED", "Restrictions"]

EXIT_UNRESTRICTED = 125
"""Exit status of the entry if a restriction could not be had; the program was not run."""


@dataclass(frozen=True)
class Restrictions:
    """Restrictions of one process and all that it starts. What is left at its default is not restricted.

    Attributes:
        limits: For `rlimits.apply`: bytes, seconds or counts by name.
        read: Files and folders that may be read and run; None leaves all files alone.
        listed: Folders in which names may be looked at, all the way down, and nothing else.
        write: Those that may also be changed.
        devices: Device files that may be used.
        connect: Whether Landlock lets TCP connections be made.
        bind: Whether it lets TCP ports be bound.
        scoped: Whether it keeps signals and abstract sockets inside.
        refused: What seccomp refuses, as the arguments of `seccomp.refusals`; None for no filter.
        uid: The user and group id to take; None keeps them.
        unprivileged: Whether capabilities are given up.
    """

    limits: Mapping[str, int] = field(default_factory=dict)
    read: tuple[str, ...] | None = None
    listed: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    connect: bool = True
    bind: bool = True
    scoped: bool = False
    refused: Mapping[str, bool] | None = None
    uid: int | None = None
    unprivileged: bool = False

    def apply(self) -> None:
        """Restrict this process. Do it before there are other threads: Landlock holds only the one that calls.

        Raises:
            OSError: Something was refused. What came before it is in force, so better end the process.
        """
        rlimits.apply(self.limits)
        landlock.restrict(
            read=self.read,
            listed=self.listed,
            write=self.write,
            devices=self.devices,
            connect=self.connect,
            bind=self.bind,
            scoped=self.scoped,
        )
        if self.uid is not None:
            identity.become(self.uid)
        elif self.unprivileged and os.geteuid() == 0:
            identity.drop_capabilities()
        if self.refused is not None:
            seccomp.install(seccomp.refusals(**self.refused))

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what `to_json` wrote."""
        found = json.loads(text)
        for name in ("read", "listed", "write", "devices"):
            found[name] = None if found[name] is None else tuple(found[name])
        return cls(**found)
