"""Environment servers in containers of a Docker or Podman engine.

A container is held in as tightly as its server can bear, see `options`; in particular it has no network, and is
reached by a relay, see `relay` and `first_process`. Three things end it, each without the others: `stop`; the end
of this program, of which its relay tells it and the guardian tells the engine; and its own first process, when the
lifetime is over.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

from openenv.errors import ConfigurationError, ProviderError, ProviderStartError, SnapshotError
from openenv.providers.docker import owned
from openenv.providers.docker.engine import address, connect
from openenv.providers.docker.fleet import Fleet
from openenv.providers.docker.images import find_image
from openenv.providers.docker.options import ContainerOptions
from openenv.providers.docker.plan import Plan
from openenv.providers.ownership import OwnedResource, Ownership
from openenv.providers.redaction import redact
from openenv.providers.source import Source
from openenv.providers.spellings import ContainerProvider

__all__ = ["LocalDockerProvider"]


class LocalDockerProvider(ContainerProvider):
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
        create_timeout_s: Seconds that each answer of the engine may take.
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
    capabilities: ClassVar[frozenset[str]] = frozenset({"snapshot", "restore", "fork"})
    outlives_program = True

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
        if replicas < 1:
            raise ConfigurationError(f"replicas={replicas}: at least one is needed.")
        self.image = image
        self.replicas = replicas
        self.name = name
        self.engine_url = base_url
        self.pull = pull
        self.ready_timeout_s = ready_timeout_s
        self.create_timeout_s = create_timeout_s
        self.stop_grace_s = stop_grace_s
        self.lifetime_s = lifetime_s
        self.env_vars = dict(env_vars or {})
        self._given_env = dict(self.env_vars)
        self._options = ContainerOptions.of(options)
        self._fleet: Fleet | None = None

    def launch(self, source: Source, *_: Any, image: str | None = None, **options: Any) -> list[str]:
        """Start the containers; `options` are those of the class, for this start."""
        name = image or self.image or source.image
        if name is None:
            raise ConfigurationError(
                "LocalDockerProvider does not know which image to start: give it one, such as 'echo-env:latest', "
                "or use with_provider() of a client class whose package is an environment."
            )
        return self._launch(name, options)

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
        if port is not None:
            kwargs["port"] = port
        return self._launch(image, {**kwargs, "env_vars": env_vars})[0]

    def _launch(self, name: str, given: dict[str, Any]) -> list[str]:
        self.env_vars = {**self._given_env, **(given.pop("env_vars", None) or {})}
        options = self._options.changed(given)
        if options.port and self.replicas > 1:
            raise ConfigurationError("One port cannot lead to several replicas; leave it out to get free ones.")
        base = self.name or self.ownership.name
        names = [base] if self.replicas == 1 else [f"{base}-{number}" for number in range(self.replicas)]
        with self._telling():
            place = address(self.engine_url)
            client = connect(self.engine_url, timeout_s=self.create_timeout_s)
            plan = Plan(
                image=find_image(client, name, place, pull=self.pull),
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

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Hide secrets in what is raised, and add the last lines of the log."""
        try:
            yield
        except ConfigurationError as error:
            shown = redact(str(error), self.env_vars)
            if shown == str(error):
                raise
            raise type(error)(shown) from None
        except ProviderError as error:
            shown = redact(str(error), self.env_vars)
            if error.log_tail and shown == str(error):
                raise
            raise self.failure(type(error), str(error)) from (error.__cause__ if shown == str(error) else None)

    # --- what the engine keeps -------------------------------------------------------------------

    def where(self) -> dict[str, str]:
        """Return the engine's address if it is not the usual one."""
        return {"base_url": self.engine_url} if self.engine_url else {}

    @classmethod
    def owned(cls, where: Mapping[str, str]) -> list[OwnedResource]:
        """Return all containers and snapshots of this kind that the engine has.

        Raises:
            EngineUnavailableError: It cannot be asked.
        """
        base_url = where.get("base_url")
        with contextlib.closing(connect(base_url)) as client:
            return owned.owned(client, cls.kind, address(base_url), where)

    @classmethod
    def remove(cls, resource: OwnedResource) -> None:
        """Remove a container or a snapshot; nothing happens if it is gone already.

        Raises:
            ProviderError: It could not be removed.
        """
        base_url = resource.where.get("base_url")
        remove = owned.remove_image if resource.kind == "image" else owned.remove_container
        with contextlib.closing(connect(base_url)) as client:
            remove(client, resource.id, address(base_url))

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
        if fleet.plan.options.read_only:
            raise SnapshotError(
                "The container's root is read-only, so its files are still those of the image and nothing would be "
                "kept. Start it with read_only=False."
            )
        ownership = Ownership.new(self.kind, self.lifetime_s)
        with self._telling():
            return fleet.snapshot(ownership)

    def restore(self, snapshot: str) -> Self:
        """Return a new provider with the same options whose container begins with the files that were kept.

        Raises:
            SnapshotError: There is no such snapshot.
        """
        with contextlib.closing(connect(self.engine_url, timeout_s=self.create_timeout_s)) as client:
            try:
                find_image(client, snapshot, address(self.engine_url), pull=False)
            except ProviderStartError as error:
                raise SnapshotError(f"There is no snapshot {snapshot!r} in the engine.") from error
        options = dataclasses.replace(self._fleet.plan.options if self._fleet else self._options, port=None)
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
