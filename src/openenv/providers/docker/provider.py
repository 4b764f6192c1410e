"""Environment servers in containers of a Docker or Podman engine.

A container is held in as tightly as its server can bear, see `options`; in particular it has no network, and is
reached by a relay, see `relay` and `first_process`. Three things end it, each without the others: `stop`; the end
of this program, of which its relay tells it and the guardian tells the engine; and its own first process, when the
lifetime is over.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from openenv.errors import ConfigurationError, ProviderStartError, SnapshotError
from openenv.providers.docker import owned
from openenv.providers.docker.base import EngineProvider
from openenv.providers.docker.fleet import Fleet
from openenv.providers.docker.images import find_image
from openenv.providers.docker.options import ContainerOptions
from openenv.providers.docker.plan import Plan
from openenv.providers.ownership import OwnedResource, Ownership

__all__ = ["LocalDockerProvider"]


class LocalDockerProvider(EngineProvider):
    """Runs an environment's image in containers that have no network, no rights, and an end.

    ```python
    async with EchoEnv.with_provider(LocalDockerProvider("echo-env:latest")) as env:
        await env.reset()
    ```

    Args:
        image: Name of the image; None takes the one of the client class, or of `start`.
        env_vars: Environment variables of the server.
        replicas: How many containers.
        name: Name of the container, with `-0`, `-1` appended if there are several; None for a random one.
        base_url: Where the engine is, such as `unix:///run/podman/podman.sock`; None for `DOCKER_HOST`, or the
            first socket of Docker's or Podman's that is there.
        pull: Whether to get a missing image from its registry; None for images whose name has a registry or user.
        ready_timeout_s: Seconds until the servers must be healthy.
        create_timeout_s: Seconds that each answer of the engine may take; pulling an image may take any time.
        stop_grace_s: Seconds between SIGTERM and SIGKILL; the engine counts whole ones.
        lifetime_s: Seconds after which a container ends by itself; None for never.
        **options: How a container is made; each can be given to `start`, too:

            network: None for none, `bridge`, or the name of one that the engine has.
            memory: Most memory, in bytes or as `512m`, `2g` (default); None for no limit.
            cpus: Most processors, 2.0 by default; None for no limit.
            pids_limit: Most processes and threads, 512 by default; None for no limit.
            user: Who the server runs as; by default the image's user, or 65534 (nobody) if that is root.
            read_only: Whether the root file system cannot be written to; True by default.
            tmpfs: Folders in memory, by default `/tmp` with 256 MiB; they count for the memory limit.
            cap_drop: Capabilities to drop, `["ALL"]` by default.
            no_new_privileges: Whether setuid programs are without effect; True by default.
            init: Whether the engine puts an init of its own in front.
            port: Port on this machine; None for a free one.
            publish_on: Address that a port is published on if there is a network, `127.0.0.1` by default.
            container_port: Port that the server listens on, 8000 by default.
            uds: Reach the server through a Unix domain socket instead of a port; without a network only.
            command: What runs, in place of the image's entry point and command.
            volumes: As in Docker's SDK.

            Everything else goes to `containers.create` of Docker's SDK under its name there, such as `shm_size`,
            `runtime`, `cap_add` or `device_requests`.

    Raises:
        ConfigurationError: Options that contradict each other.
    """

    kind = "docker"

    def __init__(
        self,
        image: str | None = None,
        *,
        env_vars: Mapping[str, str] | None = None,
        replicas: int = 1,
        name: str | None = None,
        base_url: str | None = None,
        pull: bool | None = None,
        ready_timeout_s: float = 60.0,
        create_timeout_s: float = 60.0,
        stop_grace_s: float = 5.0,
        lifetime_s: float | None = 86400.0,
        **options: Any,
    ) -> None:
        super().__init__(
            image,
            env_vars=env_vars,
            replicas=replicas,
            name=name,
            base_url=base_url,
            pull=pull,
            ready_timeout_s=ready_timeout_s,
            create_timeout_s=create_timeout_s,
            stop_grace_s=stop_grace_s,
            lifetime_s=lifetime_s,
        )
        self._options = ContainerOptions.of(options)
        self._fleet: Fleet | None = None

    def start_container(
        self, image: str, port: int | None = None, env_vars: dict[str, str] | None = None, **kwargs: Any
    ) -> str:
        """Start a container and return its base URL; it need not be ready.

        Args:
            image: Name of the image.
            port: Port of this machine; None takes that of the class, or a free one.
            env_vars: Environment variables on top of those of the class.
            **kwargs: Options of the class, for this start.

        Raises:
            EngineUnavailableError: There is no engine, or it does not let us in.
            ImageNotFoundError: The engine has no such image.
            NameTakenError: Something else has the name.
            PortTakenError: Something else listens on the port.
            OutOfSpaceError: The engine's disk is full.
            IsolationError: The image cannot be held in as was asked.
            ProviderStartError: The engine refuses for another reason.
            ConfigurationError: Options that contradict each other, or several replicas: use `start`.
        """
        if self.replicas > 1:
            raise ConfigurationError("start_container() gives one address; with several replicas use start().")
        return self._start(image, port, env_vars, kwargs)

    def _launch(self, image: str, given: dict[str, Any]) -> list[str]:
        self._take_env(given)
        options = self._options.changed(given)
        if options.port and self.replicas > 1:
            raise ConfigurationError("One port cannot lead to several replicas; leave it out to get free ones.")
        base = self.name or self.ownership.name
        names = [base] if self.replicas == 1 else [f"{base}-{number}" for number in range(self.replicas)]
        with self._telling():
            client, place = self._connect()
            plan = Plan(
                image=self._find(client, image, place),
                options=options,
                env_vars=self.env_vars,
                ownership=self.ownership,
                names=names,
                lifetime_s=self.lifetime_s,
                grace_s=self.stop_grace_s,
            )
            self._fleet = Fleet(client, place, plan)
            return self._fleet.up()

    def stop_container(self) -> None:
        """Stop and remove the containers; called again it does nothing."""
        if self._fleet is not None and not self._fleet.ended:
            with self._telling():
                self._fleet.down()

    # --- while it runs ---------------------------------------------------------------------------

    def check_alive(self) -> None:
        """Raise an error if a container has ended: ProviderStartError at start, ReplicaLostError later."""
        if self._fleet is not None and not self._fleet.ended:
            with self._telling():
                self._fleet.check()

    def read_log(self, lines: int) -> str:
        """Return the last lines that each container wrote."""
        return self._fleet.log(lines) if self._fleet is not None else ""

    def _wait(self, urls: list[str], timeout_s: float | None) -> None:
        super()._wait(urls, timeout_s)
        if self._fleet is not None:
            self._fleet.ready = True

    # --- what the engine keeps -------------------------------------------------------------------

    @classmethod
    def owned(cls, where: Mapping[str, str]) -> list[OwnedResource]:
        """Return all containers and snapshots of this kind that the engine has.

        Raises:
            EngineUnavailableError: It cannot be asked.
        """
        with cls._engine_at(where) as (client, place):
            return owned.owned(client, cls.kind, place, where)

    @classmethod
    def remove(cls, resource: OwnedResource) -> None:
        """Remove a container or a snapshot; nothing happens if it is gone already.

        Raises:
            ProviderError: It could not be removed.
        """
        remove = owned.remove_image if resource.kind == "image" else owned.remove_container
        with cls._engine_at(resource.where) as (client, place):
            remove(client, resource.id, place)

    # --- snapshots -------------------------------------------------------------------------------

    @property
    def capabilities(self) -> frozenset[str]:  # type: ignore[override]  # those of other providers are of the class
        """Always `restore`; `snapshot` and `fork` with `read_only=False` and one replica."""
        can_change = not self._current_options.read_only and self.replicas == 1
        return frozenset({"restore", "snapshot", "fork"} if can_change else {"restore"})

    @property
    def _current_options(self) -> ContainerOptions:
        """The options of the last start, those of the class before there was one."""
        return self._fleet.plan.options if self._fleet is not None else self._options

    def _incapable(self, what: str) -> SnapshotError:
        if self.replicas > 1:
            return SnapshotError(f"{self._name} cannot {what} several containers. Start it with replicas=1.")
        return SnapshotError(
            f"{self._name} cannot {what}: the container's root is read-only, so its files are still those of the "
            "image and nothing would be kept. Start it with read_only=False."
        )

    def snapshot(self) -> str:
        """Keep the files of the running container as an image, and return its name.

        Memory and folders in memory, such as `/tmp`, are not kept. The image is the user's to remove: by
        `openenv gc` after `lifetime_s`, or by `docker rmi`.

        Raises:
            SnapshotError: Nothing runs, several replicas run, the root is read-only, or the engine could not.
        """
        fleet = self._fleet
        if fleet is None or len(fleet.members) != 1:
            raise SnapshotError("A snapshot is of one running container; start one, with replicas=1.")
        if "snapshot" not in self.capabilities:
            raise self._incapable("snapshot")
        ownership = Ownership.new(self.kind, self.lifetime_s)
        with self._telling():
            return fleet.snapshot(ownership)

    def restore(self, snapshot: str) -> Self:
        """Return a new provider with the same options whose container begins with the files that were kept.

        Raises:
            SnapshotError: There is no such snapshot.
        """
        client, place = self._connect()
        with contextlib.closing(client):
            try:
                find_image(client, snapshot, place, pull=False)
            except ProviderStartError as error:
                raise SnapshotError(f"There is no snapshot {snapshot!r} in the engine.") from error
        options = dataclasses.replace(self._current_options, port=None)
        other = type(self)(
            snapshot,
            env_vars=self.env_vars,
            base_url=self.engine_url,
            pull=False,
            ready_timeout_s=self.ready_timeout_s,
            create_timeout_s=self.create_timeout_s,
            stop_grace_s=self.stop_grace_s,
            lifetime_s=self.lifetime_s,
        )
        other._options = options
        return other
