"""Environment servers as a service of a Docker swarm, one replica a task.

Each replica has an address of its own (a port of its node), for a session lives on one server: the swarm's routing
mesh would spread one environment's connections over all of them. The mesh can be had, see `publish`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from openenv.errors import ConfigurationError, OpenEnvError, ProviderError, ProviderStartError, ReplicaLostError
from openenv.providers.docker.base import EngineProvider
from openenv.providers.docker.engine import is_lost
from openenv.providers.ownership import OwnedResource
from openenv.providers.redaction import redact
from openenv.providers.swarm import service
from openenv.providers.swarm.options import HOST, ServiceOptions
from openenv.providers.swarm.tasks import ReplicaLoss, Task, by_slot, refusal

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["DockerSwarmProvider"]

_logger = logging.getLogger(__name__)

LOOK_S = 0.1
WATCH_S = 2.0
KEPT_LINES = 200


class DockerSwarmProvider(EngineProvider):
    """Runs replicas of an environment's image on the nodes of a Docker swarm, and gives an address for each.

    ```python
    provider = DockerSwarmProvider("registry.lab/echo-env:latest", replicas=16, memory="1g")
    async with EchoEnv.with_provider(provider) as envs:
        observations = await asyncio.gather(*[env.reset() for env in envs])
    ```

    A replica that ends is replaced by the swarm. Its sessions are lost; it is logged, listed in `losses`, told by
    `check_alive`, and `urls` has the new address. docs/providers/swarm.md tells what a swarm can hold in and what
    it cannot.

    Args:
        image: Name of the image, which every node must have or be able to pull; None takes the one of the client
            class, or of `start`. Its digest is not looked up in a registry.
        env_vars: Environment variables of the servers; whoever may inspect services can read them.
        replicas: How many servers.
        name: The service's name; None for a random one.
        base_url: The engine of a manager; None for `DOCKER_HOST` or the usual socket.
        node_addresses: How this program reaches nodes, by the address that the swarm has for them, where that is
            not the way: `{"10.0.0.7": "203.0.113.7"}`.
        pull: Whether the manager gets a missing image from its registry, to know its command; None for images
            whose name has a registry or user.
        create_timeout_s: Seconds until all tasks run, with nodes pulling the image, and for each answer.
        ready_timeout_s: Seconds from then until all servers are healthy.
        stop_grace_s: Seconds between SIGTERM and SIGKILL.
        lifetime_s: Seconds after which every task ends by itself, and none is started again; None for never.
        **options: How the service is made; each can be given to `start`, too:

            publish: `host`, a port of its node for each replica; or `ingress`, one port of all nodes for all
                replicas by the routing mesh, so one URL. Both are open to whoever reaches the nodes.
            port: The port of the nodes; None for free ones. With `host` a node can then hold one replica.
            container_port: Port that the server listens on, 8000 by default.
            command: What runs, in place of the image's entry point and command.
            memory, cpus, pids_limit: Most that a replica may use: `2g`, 2.0 and 512; None for no limit.
            memory_reservation, cpu_reservation: What a node must have left for it; nothing by default.
            user: Who the server runs as; by default the image's user, or 65534 (nobody) if that is root.
            read_only: Whether the root file system cannot be written to; True by default.
            tmpfs: Folders in memory and their bytes, by default `/tmp` with 256 MiB.
            cap_drop: Capabilities to drop, `["ALL"]` by default.
            no_new_privileges: Whether setuid programs are without effect; True, where the engine is Docker 27 or
                later.
            egress: `deny` tells the server to refuse itself outgoing connections; `allow` does not.
            constraints: Such as `["node.labels.gpu==true"]`.
            preferences: What to spread over, such as `["node.labels.rack"]`.
            max_replicas_per_node: None for any number.
            networks: Names of overlay networks that the replicas join.
            labels: More labels.
            mounts, secrets: As in Docker's API.
            replace_ended: Whether the swarm replaces a replica that ended; True by default.

    Raises:
        ConfigurationError: An option is not known, or has a value it cannot have.
    """

    kind = "swarm"

    def __init__(
        self,
        image: str | None = None,
        *,
        env_vars: Mapping[str, str] | None = None,
        replicas: int = 1,
        name: str | None = None,
        base_url: str | None = None,
        node_addresses: Mapping[str, str] | None = None,
        pull: bool | None = None,
        create_timeout_s: float = 120.0,
        ready_timeout_s: float = 60.0,
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
        self.node_addresses = dict(node_addresses or {})
        self.losses: list[ReplicaLoss] = []
        self._options = ServiceOptions.of(options)
        self._client: DockerClient | None = None
        self._place = ""
        self._plan: service.Plan | None = None
        self._service: str | None = None
        self._in_doubt = False  # whether a service was asked for and no answer came
        self._nodes: dict[str, str] = {}
        self._filled: dict[int, Task] = {}
        self._looking = threading.Lock()
        self._is_ready = False
        self._last_log = ""

    # --- up ----------------------------------------------------------------------------------------

    def start_container(
        self, image: str, port: int | None = None, env_vars: dict[str, str] | None = None, **kwargs: Any
    ) -> str:
        """Start the service and return the base URL of its first replica; it need not be ready.

        Args:
            image: Name of the image.
            port: Port of the nodes; None takes that of the class, or free ones.
            env_vars: Environment variables on top of those of the class.
            **kwargs: Options of the class, for this start.

        Raises:
            EngineUnavailableError: There is no engine, or it manages no swarm.
            ImageNotFoundError: A node has no such image.
            NameTakenError, PortTakenError, OutOfSpaceError: As they say.
            ProviderStartError: The swarm refuses for another reason, or the tasks do not run in time.
            ConfigurationError: Options that cannot be.
        """
        return self._start(image, port, env_vars, kwargs)

    def _launch(self, image: str, given: dict[str, Any]) -> list[str]:
        self._take_env(given)
        options = self._options.changed(given)
        self.losses, self._nodes, self._filled, self._last_log = [], {}, {}, ""
        self._is_ready = False
        with self._telling():
            self._client, self._place = self._connect()
            service.manager(self._client, self._place)
            self._plan = service.Plan(
                name=self.name or self.ownership.name,
                image=self._find(self._client, image, self._place),
                options=options,
                replicas=self.replicas,
                env_vars=self.env_vars,
                ownership=self.ownership,
                grace_s=self.stop_grace_s,
            )
            self._service = self._made()
            return self._placed(time.monotonic() + self.create_timeout_s)

    def _made(self) -> str:
        assert self._client is not None
        assert self._plan is not None
        try:
            return service.create(self._client, self._plan, self._place)
        except ProviderError as error:
            # Refused after an answer was lost, it may be there all the same: its own port is in use, for example.
            self._in_doubt = self._in_doubt or is_lost(error)
            raise

    def _placed(self, end: float) -> list[str]:
        """Wait until every replica runs and has an address, and return the addresses."""
        while True:
            filled = self._look()
            self._refuse_ended(filled)
            urls = self._addresses(filled)
            if urls is not None:
                return urls
            if self._stopping.is_set():
                raise ProviderStartError(f"{self._name} was stopped before it had started.")
            if time.monotonic() > end:
                self._too_late(filled)
            time.sleep(LOOK_S)

    def _too_late(self, filled: Mapping[int, Task]) -> None:
        waiting = [task for task in filled.values() if not task.runs]
        said = next((task.said for task in waiting if task.said), "")
        states = ", ".join(sorted({task.state for task in waiting})) or "not made yet"
        kind, advice = refusal(said)
        raise kind(
            f"The swarm has not started {self.replicas - sum(task.runs for task in filled.values())} of "
            f"{self.replicas} replicas within the create budget of {self.create_timeout_s:g} s: "
            f"{said or f'they are {states}'}. {advice} create_timeout_s gives it longer."
        )

    def _addresses(self, filled: Mapping[int, Task]) -> list[str] | None:
        """Return the addresses in the order of the replicas; None if one is missing."""
        assert self._plan is not None
        assert self._client is not None
        assert self._service is not None
        if len(filled) < self.replicas or not all(task.runs for task in filled.values()):
            return None
        if self._plan.options.publish == HOST:
            if any(task.port is None for task in filled.values()):
                return None
            return [f"http://{self._node(filled[slot].node)}:{filled[slot].port}" for slot in sorted(filled)]
        port = service.published_port(self._client, self._service, self._place)
        return None if port is None else [f"http://{self._mesh_host()}:{port}"]

    def _node(self, node: str) -> str:
        assert self._client is not None
        if node not in self._nodes:
            own = service.node_address(self._client, node, self._place)
            self._nodes[node] = self.node_addresses.get(own, own)
        return self._nodes[node]

    def _mesh_host(self) -> str:
        """Return a node that can be reached: the manager that is asked."""
        return urlsplit(self._place).hostname or "127.0.0.1"

    # --- while it runs -----------------------------------------------------------------------------

    def check_alive(self) -> None:
        """Bring `urls` up to date; raise ProviderStartError at start, ReplicaLostError later, if one has ended."""
        if self._service is None:
            return
        with self._telling():
            filled = self._follow()
            if not self._is_ready:
                self._refuse_ended(filled)
            lost = [slot for slot in range(1, self.replicas + 1) if slot not in filled or not filled[slot].runs]
            if lost and self._is_ready and not self._stopping.is_set():
                task = filled.get(lost[0])
                raise ReplicaLostError(
                    f"Replica {lost[0] - 1} of the service {self.ownership.name} has ended and is not replaced "
                    f"(yet): {(task.said or task.state) if task else 'the swarm has no task for it'}."
                )

    def _look(self) -> dict[int, Task]:
        assert self._client is not None
        assert self._service is not None
        found = service.tasks(self._client, self._service, self._place)
        if not self._is_ready:  # the first that fails is told of, though the swarm has put another in its place
            failed = [task for task in found if task.ended and task.said]
            return {**by_slot(found), **{task.slot: task for task in failed}}
        return by_slot(found)

    def _follow(self) -> dict[int, Task]:
        """Look at the tasks, note the replicas that were lost since the last time, and follow those that moved."""
        with self._looking:
            if self._service is None:  # stopped meanwhile
                return {}
            filled = self._look()
            if self._is_ready:
                for slot, before in self._filled.items():
                    now = filled.get(slot)
                    if before.runs and (now is None or now.id != before.id or not now.runs):
                        self._lost(slot, before)
                urls = self._addresses(filled)
                if urls is not None and self._urls and urls != self._urls:
                    _logger.warning("The service %s is at %s now.", self.ownership.name, ", ".join(urls))
                    self._urls = urls
            self._filled = filled
            return filled

    def _lost(self, slot: int, before: Task) -> None:
        assert self._client is not None
        assert self._service is not None
        everything = service.tasks(self._client, self._service, self._place)
        ended = next((task for task in everything if task.id == before.id), None)
        reason = redact((ended.said or ended.state) if ended else "the swarm has forgotten it", self.env_vars)
        self.losses = [*self.losses, ReplicaLoss(slot - 1, reason, time.time())]
        _logger.warning("Replica %d of %s was lost, with its sessions: %s", slot - 1, self.ownership.name, reason)

    def _refuse_ended(self, filled: Mapping[int, Task]) -> None:
        for task in filled.values():
            if task.ended:
                kind, advice = refusal(task.said)
                raise kind(
                    f"Replica {task.slot - 1} of {self._plan.image.name if self._plan else 'the image'} has ended "
                    f"before it was ready ({task.state}): {task.said or 'without an error'}. {advice}"
                )

    def _wait(self, urls: list[str], timeout_s: float | None) -> None:
        super()._wait(urls, timeout_s)
        if self._service is not None and not self._is_ready:
            self._is_ready = True
            self._follow()
            threading.Thread(
                target=self._watch, args=(self._stopping,), name="openenv-swarm-watch", daemon=True
            ).start()

    def _watch(self, stopping: threading.Event) -> None:
        told_of = ""
        while not stopping.wait(WATCH_S):
            try:
                self._follow()
                told_of = ""
            except OpenEnvError as error:
                if str(error) != told_of and not stopping.is_set():
                    _logger.warning("The swarm cannot be asked about %s: %s", self.ownership.name, error)
                told_of = str(error)

    def read_log(self, lines: int) -> str:
        """Return the last lines that the tasks wrote, those of ended ones included."""
        client, made = self._client, self._service
        if client is None or made is None:
            kept = self._last_log.split("\n") if self._last_log else []
            return "\n".join(kept[-lines:])
        try:
            chunks = client.api.service_logs(made, stdout=True, stderr=True, tail=str(lines))
            text = b"".join(chunks).decode("utf-8", "replace")
        except Exception as error:  # the SDK's, or the stream's: a log is never worth an error of its own
            _logger.debug("The log of %s cannot be read: %s", made, error)
            return ""
        return "\n".join(text.rstrip("\n").split("\n")[-lines:]) if text else ""

    # --- down --------------------------------------------------------------------------------------

    def stop_container(self) -> None:
        """Remove the service and wait until its tasks are gone; called again it does nothing."""
        if self._client is None:
            return
        with self._telling():
            if self._in_doubt:  # so it cannot come into being after it was looked for
                with contextlib.suppress(ProviderStartError, ConfigurationError):
                    self._made()
            if self._service is not None:
                self._last_log = self.read_log(KEPT_LINES)
            if self._plan is not None:  # else nothing was asked for
                for one in service.find(self._client, self.ownership.name, self._place):
                    service.remove(self._client, str(one["ID"]), self._place)
        with self._looking:
            self._client.close()
            self._client = self._service = self._plan = None
            self._in_doubt = False

    def _tells_enough(self, error: ProviderError) -> bool:
        return super()._tells_enough(error) or is_lost(error)  # then there is nobody to ask for the log

    # --- what the swarm keeps ----------------------------------------------------------------------

    @classmethod
    def owned(cls, where: Mapping[str, str]) -> list[OwnedResource]:
        """Return all services of this kind that the swarm has.

        Raises:
            EngineUnavailableError: It cannot be asked, or the engine manages no swarm.
        """
        with cls._engine_at(where) as (client, place):
            service.manager(client, place)
            return list(service.owned(client, cls.kind, place, where))

    @classmethod
    def remove(cls, resource: OwnedResource) -> None:
        """Remove a service with its tasks; nothing happens if it is gone already.

        Raises:
            ProviderError: It could not be removed.
        """
        with cls._engine_at(resource.where) as (client, place):
            service.remove(client, resource.id, place)
