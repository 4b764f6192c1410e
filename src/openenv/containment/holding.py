"""Which layers hold one process, decided from what this machine has and what is wanted.

Every layer that is there is used. Where one is missing the others make up for it as far as they can: without
namespaces, Landlock alone keeps files and seccomp refuses what Landlock does not know. What then is held less well
is said. A process whose files nothing holds is not run.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from openenv.containment import bubblewrap, identity, landlock, layers
from openenv.containment.layers import Layers
from openenv.containment.places import DEVICES, PROCESS_FILES, system
from openenv.containment.restrictions import Restrictions
from openenv.errors import IsolationError

__all__ = ["Holding"]


class Holding:
    """What one process is going to be held by.

    Args:
        read: Absolute paths that it may read.
        write: Absolute paths that it may change, too.
        devices: Device files that it may use besides the harmless ones.
        network: Whether it may use the network of this machine.
        limits: For `Restrictions.limits`; `processes` may be there.
        memory_bytes: Memory of all its processes together; without a control group, of each.
        own_user: Whether this program's user owns nothing but what the process may change anyway.
        without: Layers not to be used.
        require: Layers that have to be active.

    Attributes:
        layers: Which are active, and what is held less well.
        uid: The user id it takes; None if it keeps this program's.

    Raises:
        IsolationError: Nothing here holds its files or its network, or a required layer is not to be had.
    """

    def __init__(
        self,
        *,
        read: Sequence[str],
        write: Sequence[str] = (),
        devices: Sequence[str] = (),
        network: bool = False,
        limits: Mapping[str, int] | None = None,
        memory_bytes: int | None = None,
        own_user: bool = False,
        without: Collection[str] = (),
        require: Collection[str] = (),
    ) -> None:
        self._read, self._write, self._devices = read, write, devices
        self._network = network
        self._limits = dict(limits or {})
        self._memory_bytes = memory_bytes
        self._own_user = own_user
        self._abi = 0 if "landlock" in without else landlock.abi()
        absent = {name: reason for name, reason in layers.probe().items() if reason is not None}
        absent |= dict.fromkeys(without, "not wanted")
        named = sorted({*read, *write} - set(system(network=True)))
        if "uid" not in absent and (path := identity.closed(named, with_parents="namespaces" in absent)):
            absent["uid"] = f"another user may not read {path}"
        self._active = tuple(name for name in layers.NAMES if name not in absent)
        self._check(absent, require)
        self.uid = identity.fresh() if "uid" in self._active else None
        self.layers = Layers(self._active, absent, tuple(self._weaknesses()))

    def namespaces(self, *, tmp_bytes: int | None, folder: str, new_session: bool = True, **more: Any) -> list[str]:
        """Return the command line that makes the namespaces, as `bubblewrap.command_line`, which gets the rest."""
        return bubblewrap.command_line(
            read=self._read,
            write=self._write,
            devices=self._devices,
            network=self._network,
            own_uid=self.uid is not None,
            tmp_bytes=tmp_bytes,
            new_session=new_session,
            folder=folder,
            **more,
        )

    def restrictions(self, tmp: str) -> Restrictions:
        """Return what the process lays upon itself, within the namespaces if there are any.

        Args:
            tmp: The folder for its own files.
        """
        inside = "namespaces" in self._active
        held = "landlock" in self._active
        refused = self._refused() if "seccomp" in self._active else None
        return Restrictions(
            limits=self._process_limits() if "rlimits" in self._active else {},
            read=None if not held else ("/",) if inside else (*self._read, *PROCESS_FILES),
            write=(tmp, *self._write, *(("/dev/shm",) if inside else ())),  # noqa: S108
            devices=("/dev",) if inside else (*DEVICES, *self._devices),
            connect=self._network or not self._tcp_is_held,
            bind=self._network or not self._tcp_is_held,
            scoped=self._scoped,
            refused=refused,
            uid=self.uid,
            unprivileged=True,
        )

    @property
    def _tcp_is_held(self) -> bool:
        return self._abi >= landlock.NETWORK

    @property
    def _scoped(self) -> bool:
        return self._abi >= landlock.SCOPES

    @property
    def _apart(self) -> bool:
        """Whether files and processes of others are out of reach by who the process is, or where."""
        return "namespaces" in self._active or self.uid is not None

    def _refused(self) -> dict[str, bool]:
        inside = "namespaces" in self._active
        return {
            "network": self._network,
            "connect": self._network or self._tcp_is_held,
            # Landlock does not hold Unix sockets that are files.
            "unix_sockets": inside and (not self._network or self._scoped),
            "signals": self._apart or self._scoped,
            "metadata": self._apart or self._own_user,
            "others": self._apart,
        }

    def _process_limits(self) -> dict[str, int]:
        limits = dict(self._limits)
        if self._memory_bytes is not None and "cgroup" not in self._active:
            limits["memory"] = self._memory_bytes
        if "processes" in limits and not self._apart:  # all of this user's are counted
            try:
                limits["processes"] += identity.threads_of(os.getuid())
            except PermissionError:  # in a sandbox, whose own limit holds
                del limits["processes"]
        return limits

    def _check(self, absent: Mapping[str, str], require: Collection[str]) -> None:
        missing = sorted(set(require) & set(absent))
        if missing:
            reasons = "; ".join(f"{name}: {absent[name]}" for name in missing)
            raise IsolationError(f"Required layers are not to be had. {reasons}.")
        if "namespaces" in absent and "landlock" in absent:
            raise IsolationError(
                f"Nothing here can hold a sandbox's files. Namespaces: {absent['namespaces']}. Landlock: "
                f"{absent['landlock']}. Install bubblewrap (Debian: apt-get install bubblewrap), or use a "
                "container engine."
            )
        if not (self._network or self._tcp_is_held or "seccomp" in self._active):
            raise IsolationError(
                f"Nothing here can refuse connections. Landlock is of version {self._abi}; seccomp: "
                f"{absent['seccomp']}. Give network=True if they may be made."
            )

    def _weaknesses(self) -> list[str]:
        found = []
        if "cgroup" not in self._active:
            found.append("Memory is limited for each process, not in total")
        if "cgroup" not in self._active and self.uid is None and os.geteuid() == 0:
            found.append("The number of processes is not limited, for the system does not count root's")
        if "namespaces" not in self._active:
            found.append("Disk use is limited for each file, not in total")
            if "seccomp" not in self._active:
                found.append("UDP and the Unix sockets of this machine are open")
        if "seccomp" in self._active and not (self._apart or self._own_user):
            found.append("Modes, owners and times of files cannot be changed, not even of its own")
        if not (self._apart or self._scoped or "seccomp" in self._active):
            found.append("Processes of the same user can be signalled")
        return found
