"""How the replicas of a service are held in and placed, and what that is in the words of Docker's API.

A service takes less than a container does: there is no swap limit, `no_new_privileges` came with Docker 27, and no
network can be closed to the outside without closing the way in. Servers of this project are therefore told to
refuse themselves outgoing connections (`OPENENV_EGRESS`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Self

from openenv.errors import ConfigurationError
from openenv.providers.docker.images import Image

__all__ = ["HOST", "MESH", "ServiceOptions"]

HOST, MESH = "host", "ingress"
NANO = 1_000_000_000
NO_NEW_PRIVILEGES_SINCE = (1, 46)


@dataclass(frozen=True, kw_only=True)
class ServiceOptions:
    """What a service is made with. The arguments are those of `DockerSwarmProvider`."""

    publish: str = HOST
    port: int | None = None
    container_port: int = 8000
    command: Sequence[str] | None = None
    memory: str | int | None = "2g"
    cpus: float | None = 2.0
    memory_reservation: str | int | None = None
    cpu_reservation: float | None = None
    pids_limit: int | None = 512
    user: str | int | None = None
    read_only: bool = True
    tmpfs: Mapping[str, int] | None = field(default_factory=lambda: MappingProxyType({"/tmp": 256 << 20}))  # noqa: S108
    cap_drop: Sequence[str] = ("ALL",)
    no_new_privileges: bool = True
    egress: str = "deny"
    constraints: Sequence[str] = ()
    preferences: Sequence[str] = ()
    max_replicas_per_node: int | None = None
    networks: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[Mapping[str, Any]] = ()
    secrets: Sequence[Mapping[str, Any]] = ()
    replace_ended: bool = True

    def __post_init__(self) -> None:
        if self.publish not in (HOST, MESH):
            raise ConfigurationError(f"publish={self.publish!r}: give 'host' or 'ingress'.")
        if self.egress not in ("deny", "allow"):
            raise ConfigurationError(f"egress={self.egress!r}: give 'deny' or 'allow'.")
        for name in ("constraints", "preferences", "networks"):
            if isinstance(getattr(self, name), str):
                raise ConfigurationError(f"{name} is a list of strings; write {name}=[{getattr(self, name)!r}].")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Return the options that keyword arguments stand for.

        Raises:
            ConfigurationError: One is not known, or has a value that it cannot have.
        """
        return cls().changed(given)

    def changed(self, given: Mapping[str, Any]) -> Self:
        """Return these options with some of them replaced.

        Raises:
            ConfigurationError: One is not known, or has a value that it cannot have.
        """
        unknown = sorted(set(given) - {one.name for one in fields(self)})
        if unknown:
            known = ", ".join(one.name for one in fields(self))
            raise ConfigurationError(f"A service has no option {', '.join(unknown)}. Known are: {known}.")
        return replace(self, **given)

    # --- in the words of the API -------------------------------------------------------------------

    def container(
        self, image: Image, command: Sequence[str], env_vars: Mapping[str, str], api: tuple[int, ...]
    ) -> dict[str, Any]:
        """Return the `ContainerSpec`, without labels.

        Args:
            image: The image.
            command: The whole command line.
            env_vars: Environment variables of the server.
            api: The version of the API that is spoken.
        """
        user, environment = self.user, dict(env_vars)
        if user is None:
            user = image.harmless_user
            if user != image.user:  # nobody has no home, and much wants to write to it
                environment = {"HOME": "/tmp", **environment}  # noqa: S108
        if self.egress == "deny":
            environment = {"OPENENV_EGRESS": "deny", **environment}
        spec = {
            "Image": image.name,
            "Command": list(command),
            "Env": [f"{key}={value}" for key, value in environment.items()],
            "User": str(user),
            "ReadOnly": self.read_only,
            "CapabilityDrop": list(self.cap_drop),
            "Mounts": [*map(dict, self.mounts), *self._memory_folders()],
            "Secrets": [dict(secret) for secret in self.secrets],
            # The provider waits for the server itself. With the image's check a task would count as started only
            # after its first interval, which is ten seconds as a rule.
            "Healthcheck": {"Test": ["NONE"]},
        }
        if self.no_new_privileges and api >= NO_NEW_PRIVILEGES_SINCE:
            spec["Privileges"] = {"NoNewPrivileges": True}
        return spec

    def resources(self) -> dict[str, Any]:
        """Return the `ResourceRequirements`."""
        limits = {"NanoCPUs": _nano(self.cpus), "MemoryBytes": _bytes(self.memory), "Pids": self.pids_limit}
        reservations = {
            "NanoCPUs": _nano(self.cpu_reservation),
            "MemoryBytes": _bytes(self.memory_reservation),
        }
        return {"Limits": _present(limits), "Reservations": _present(reservations)}

    def placement(self) -> dict[str, Any]:
        """Return the `Placement`."""
        spread = [{"Spread": {"SpreadDescriptor": each}} for each in self.preferences]
        placement = {"Constraints": list(self.constraints), "Preferences": spread}
        return placement | _present({"MaxReplicas": self.max_replicas_per_node})

    def endpoint(self) -> dict[str, Any]:
        """Return the `EndpointSpec`."""
        port = {"Protocol": "tcp", "TargetPort": self.container_port, "PublishMode": self.publish}
        return {"Ports": [port | _present({"PublishedPort": self.port})]}

    def _memory_folders(self) -> list[dict[str, Any]]:
        return [
            {"Type": "tmpfs", "Target": target, "TmpfsOptions": {"SizeBytes": size, "Mode": 0o1777}}
            for target, size in (self.tmpfs or {}).items()
        ]


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _nano(cpus: float | None) -> int | None:
    return None if cpus is None else int(cpus * NANO)


def _bytes(size: str | int | None) -> int | None:
    from docker.errors import DockerException
    from docker.utils import parse_bytes

    try:
        return None if size is None else int(parse_bytes(size))
    except DockerException as error:
        raise ConfigurationError(f"{size!r} is no amount of memory; write it like '512m' or '2g'.") from error
