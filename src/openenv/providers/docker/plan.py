"""What a start of a provider is to make: written down before anything is made, and the same for each container."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openenv.providers.docker.command import first_process, timeout_process
from openenv.providers.docker.images import Image
from openenv.providers.docker.options import ContainerOptions
from openenv.providers.docker.relay import MOUNTED_AT, SOCKET_INSIDE, Relay
from openenv.providers.ownership import Ownership

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """What is to be started, and how.

    Attributes:
        image: What the containers are made of.
        options: How they are held in.
        env_vars: Environment variables of the servers.
        ownership: What is written on them.
        names: The name of each.
        lifetime_s: Seconds after which they end by themselves; None for never.
        grace_s: Seconds between SIGTERM and SIGKILL.
    """

    image: Image
    options: ContainerOptions
    env_vars: Mapping[str, str]
    ownership: Ownership
    names: Sequence[str]
    lifetime_s: float | None
    grace_s: float

    @property
    def command(self) -> list[str]:
        """What runs in them."""
        return list(self.options.command or self.image.command)

    def first_process(self, relayed: bool) -> list[str]:
        """Return the whole command line of an image that has Python."""
        return first_process(
            self.command,
            lifetime_s=self.lifetime_s,
            grace_s=self.grace_s,
            port=self.options.container_port,
            relay=SOCKET_INSIDE if relayed else None,
        )

    def timeout_process(self) -> list[str]:
        """Return the whole command line of an image that has none."""
        return timeout_process(self.command, lifetime_s=self.lifetime_s, grace_s=self.grace_s)

    def arguments(self, relay: Relay | None) -> dict[str, Any]:
        """Return what a container is made with, for `containers.create` of Docker's SDK."""
        from docker.types import Mount

        user, environment = self.options.user, dict(self.env_vars)
        if user is None:
            user = self.image.harmless_user
            if user != self.image.user:  # nobody has no home, and much wants to write to it
                environment = {"HOME": "/tmp", **environment}  # noqa: S108
        arguments = self.options.arguments()
        mounts = list(arguments.pop("mounts", ()))
        if relay is not None:
            mounts.append(Mount(MOUNTED_AT, str(relay.folder), type="bind", read_only=True))
        return {**arguments, "user": str(user), "environment": environment, "mounts": mounts}
