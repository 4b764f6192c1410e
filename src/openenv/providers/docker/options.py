"""How a container is held in, and how each of these protections is loosened: by its name.

The defaults are the strictest under which a server of this project runs. What this project has no name for goes to
the engine under the name that Docker's SDK has for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Self

from openenv.errors import ConfigurationError

__all__ = ["ContainerOptions"]

CPU_PERIOD_US = 100_000
TMP = "rw,exec,nosuid,nodev,size=256m,mode=1777"
LOG_BYTES = "10m"

# What this class decides, or what would take the container out of the provider's hands.
_TAKEN = {
    "auto_remove": "containers are always removed when they end",
    "detach": "containers are never waited for",
    "environment": "give env_vars",
    "mem_limit": "give memory",
    "network_disabled": "give network",
    "network_mode": "give network",
    "ports": "give container_port and port",
    "remove": "containers are always removed when they end",
    "restart_policy": "a container that ended is reported, never started again behind your back",
}


@dataclass(frozen=True, kw_only=True)
class ContainerOptions:
    """What a container is made with. The arguments are those of `LocalDockerProvider`."""

    network: str | None = None
    memory: str | int | None = "2g"
    cpus: float | None = 2.0
    pids_limit: int | None = 512
    user: str | int | None = None
    read_only: bool = True
    tmpfs: Mapping[str, str] | None = field(default_factory=lambda: MappingProxyType({"/tmp": TMP}))  # noqa: S108
    cap_drop: Sequence[str] = ("ALL",)
    no_new_privileges: bool = True
    init: bool = False
    port: int | None = None
    publish_on: str = "127.0.0.1"
    container_port: int = 8000
    uds: bool = False
    command: Sequence[str] | None = None
    volumes: Mapping[str, Any] | Sequence[str] | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.more:
            if name in _TAKEN:
                raise ConfigurationError(f"{name} is not an option here: {_TAKEN[name]}.")
        if self.network == "host" or str(self.network).startswith("container:"):
            raise ConfigurationError(
                f"network={self.network!r} would take down the wall; give None, 'bridge', or a network's name."
            )
        if self.uds and self.network not in (None, "none"):
            raise ConfigurationError("uds=True is for containers without a network; leave network out.")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Return the options that keyword arguments stand for.

        Raises:
            ConfigurationError: One cannot be given.
        """
        return cls().changed(given)

    def changed(self, given: Mapping[str, Any]) -> Self:
        """Return these options with some of them replaced.

        Raises:
            ConfigurationError: One cannot be given.
        """
        known = {one.name for one in fields(self)} - {"more"}
        own = {name: value for name, value in given.items() if name in known}
        more = {name: value for name, value in given.items() if name not in known}
        return replace(self, **own, more={**self.more, **more})

    @property
    def connected(self) -> bool:
        """Whether the container has a network."""
        return self.network not in (None, "none")

    def arguments(self) -> dict[str, Any]:
        """Return what these options are for `containers.create` of Docker's SDK."""
        security = ["no-new-privileges:true"] if self.no_new_privileges else []
        security += self.more.get("security_opt", ())
        return {
            "network": self.network if self.connected else None,
            "network_mode": None if self.connected else "none",
            "ports": {f"{self.container_port}/tcp": (self.publish_on, self.port)} if self.connected else None,
            "mem_limit": self.memory,
            "memswap_limit": self.memory,  # together, so what is over the limit is not swapped out instead
            **self._cpu(),
            "pids_limit": self.pids_limit,
            "read_only": self.read_only,
            "tmpfs": dict(self.tmpfs or {}),
            "cap_drop": list(self.cap_drop),
            "init": self.init,
            "volumes": self.volumes,
            **self._bounds(),
            **self.more,
            "security_opt": security,
        }

    def _cpu(self) -> dict[str, int]:
        # A quota rather than a number: an engine refuses a number that is more than it has.
        if self.cpus is None:
            return {}
        return {"cpu_period": CPU_PERIOD_US, "cpu_quota": int(self.cpus * CPU_PERIOD_US)}

    @staticmethod
    def _bounds() -> dict[str, Any]:
        """Return what keeps a container from filling the disk with logs and memory dumps."""
        from docker.types import LogConfig, Ulimit

        return {
            "log_config": LogConfig(type=LogConfig.types.JSON, config={"max-size": LOG_BYTES}),
            "ulimits": [Ulimit(name="core", soft=0, hard=0)],
        }
