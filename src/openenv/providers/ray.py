"""Environment servers on the nodes of a Ray cluster.

Each replica is an actor that Ray places by the resources it asks for; it starts the server as a child process on
its node. Actors are not detached: they end with the program, killed or not, and each ends itself when its lifetime
is over. A replica that died is reported, never started anew: its episodes are gone, and so is its address.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from openenv.errors import (
    ConfigurationError,
    EngineUnavailableError,
    NameTakenError,
    OpenEnvError,
    OutOfSpaceError,
    ProviderStartError,
    ReplicaLostError,
)
from openenv.providers import ray_cluster
from openenv.providers.base import Provider
from openenv.providers.ownership import OwnedResource
from openenv.providers.ray_actor import EnvironmentActor, Order, Status
from openenv.providers.source import Source

__all__ = ["RayProvider"]

STATUS_S = 5.0
"""Seconds an actor may take to tell how its server is, before it counts as busy."""
KILL_S = 15.0
WAIT_SLICE_S = 0.25


class RayProvider(Provider):
    """Runs environment servers as actors of a Ray cluster. Needs `pip install 'openenv[ray]'`.

    ```python
    provider = RayProvider("echo_env", address="auto", replicas=8, num_cpus=0.5)
    async with EchoEnv.with_provider(provider) as envs: ...
    ```

    `openenv` and the environment must be installed on the nodes, or be brought there by `runtime_env`. A server
    on another node than this program listens on its node's address: whoever reaches that network reaches it.

    Args:
        target: The path of an environment's folder that every node has, the name of an installed environment
            package, `module:app`, or None to serve the environment that the client class belongs to.
        address: `host:port` of the cluster, `auto` for the one that `RAY_ADDRESS` names or that runs on this
            machine, `local` to start one here that ends with this program, None for `auto` and else `local`. A
            program that is connected to Ray already stays connected as it is.
        replicas: Servers to start.
        num_cpus: CPUs that each reserves; may be a fraction.
        memory: Bytes that each reserves; None for none.
        resources: Custom resources that each reserves, such as `{"browser": 1}`.
        scheduling_strategy: Where Ray places them: `SPREAD`, `DEFAULT`, or a strategy object of Ray's.
        runtime_env: Ray's runtime environment of the actors, such as `{"working_dir": "..."}`.
        env_vars: Environment variables of the servers.
        ready_timeout_s: Seconds until all servers must be healthy.
        create_timeout_s: Seconds until Ray must have placed all actors and they have started their servers.
        lifetime_s: Seconds after which the actors end themselves.
        stop_grace_s: Seconds between SIGTERM and SIGKILL of a server.
        max_concurrent_envs: Sessions each server may hold at once; None leaves it to the environment.

    Raises:
        ConfigurationError: A number is out of range.
    """

    kind = "ray"

    def __init__(
        self,
        target: str | os.PathLike[str] | None = None,
        *,
        address: str | None = None,
        replicas: int = 1,
        num_cpus: float = 1.0,
        memory: int | None = None,
        resources: Mapping[str, float] | None = None,
        scheduling_strategy: Any = "SPREAD",
        runtime_env: Mapping[str, Any] | None = None,
        env_vars: Mapping[str, str] | None = None,
        ready_timeout_s: float = 60.0,
        create_timeout_s: float = 60.0,
        lifetime_s: float | None = 86400.0,
        stop_grace_s: float = 5.0,
        max_concurrent_envs: int | None = None,
    ) -> None:
        if replicas < 1 or num_cpus < 0:
            raise ConfigurationError(f"replicas={replicas} must be 1 or more and num_cpus={num_cpus} 0 or more.")
        self.target = None if target is None else os.fspath(target)
        self.address = address
        self.replicas = replicas
        self.num_cpus = num_cpus
        self.memory = memory
        self.resources = dict(resources or {})
        self.scheduling_strategy = scheduling_strategy
        self.runtime_env = dict(runtime_env or {})
        self.env_vars = dict(env_vars or {})
        self.ready_timeout_s = ready_timeout_s
        self.create_timeout_s = create_timeout_s
        self.lifetime_s = lifetime_s
        self.stop_grace_s = stop_grace_s
        self.max_concurrent_envs = max_concurrent_envs
        self._actors: dict[str, Any] = {}
        self._started: set[str] = set()  # the names of those that have a server
        self._logs: list[str] = []
        self._was_ready = False

    # --- what a provider implements --------------------------------------------------------------

    def launch(self, source: Source) -> list[str]:
        """Create the actors, wait until Ray has placed them, and let each start its server."""
        self._logs = [""] * self.replicas
        self._was_ready = False
        targets = self._targets(source)
        ray = ray_cluster.connect(self.address)
        order = Order(targets, ray_cluster.node_of_driver(ray), self.lifetime_s, self._process_options())
        actor_class = ray.remote(EnvironmentActor)
        for replica in range(self.replicas):
            name = ray_cluster.actor_name(self.ownership, replica)
            try:
                self._actors[name] = actor_class.options(name=name, **self._options()).remote(order)
            except ValueError as error:
                if "already" in str(error):
                    raise self.failure(NameTakenError, f"Ray has an actor of this name: {error}") from error
                raise ConfigurationError(f"Ray refuses the options of the actors: {error}") from error
        return self._urls_of(ray)

    def shutdown(self) -> None:
        """End the servers, kill the actors, and wait until Ray counts them as gone."""
        ray = ray_cluster.imported() if self._actors else None
        if ray is not None and ray.is_initialized():  # else Ray has ended them when the program left it
            self._stop_servers(ray)
            ray_cluster.kill(ray, self._actors)
        self._actors, self._started = {}, set()

    def wait_for_ready(self, timeout_s: float | None = None) -> None:
        """Wait as every provider does; afterwards, a server that ends is a replica that was lost."""
        super().wait_for_ready(timeout_s)
        self._was_ready = True

    def check_alive(self) -> None:
        """Raise ProviderStartError if a server has ended or lost its node; ReplicaLostError once all were ready."""
        if not self._actors:
            return
        kind = ReplicaLostError if self._was_ready else ProviderStartError
        for replica, status in enumerate(self._statuses()):
            if status is not None and status.problem is not None:
                what = "The server" if self.replicas == 1 else f"The server of replica {replica}"
                raise self.failure(kind, f"{what} is lost. {status.problem}")

    def read_log(self, lines: int) -> str:
        """Return the last lines of the servers; of several, each line says whose it is."""
        if self._actors and self._busy_thread is None:
            self._statuses()
        if self.replicas == 1:
            found = self._logs[0].splitlines() if self._logs else []
        else:
            found = [f"[{number}] {line}" for number, log in enumerate(self._logs) for line in log.splitlines()]
        return "\n".join(found[-lines:]) if lines > 0 else ""

    def where(self) -> dict[str, str]:
        """Return the address of the cluster, if one was given."""
        return {} if self.address in (None, "local") else {"address": str(self.address)}

    @classmethod
    def owned(cls, where: Mapping[str, str]) -> list[OwnedResource]:
        """Return the actors of all programs in the cluster; none if there is no cluster on this machine."""
        ray = ray_cluster.imported()
        try:
            ray_cluster.connect(where.get("address", "auto"))
        except EngineUnavailableError:
            if where:
                raise
            return []
        actors = ray_cluster.named_actors(ray).items()
        return [OwnedResource(owned, name, "actor", "alive", where=dict(where)) for name, owned in actors]

    @classmethod
    def remove(cls, resource: OwnedResource) -> None:
        """Kill an actor; its server ends with it."""
        ray = ray_cluster.connect(resource.where.get("address", "auto"))
        try:
            actor = ray.get_actor(resource.id, ray_cluster.NAMESPACE)
        except ValueError:  # gone already
            return
        ray_cluster.kill(ray, {resource.id: actor})

    # --- the start -------------------------------------------------------------------------------

    def _targets(self, source: Source) -> tuple[str, ...]:
        if self.target is not None:
            return (self.target,)
        # A node may have the checkout's folder, or a copy of its own, found by name.
        found = tuple(target for target in (source.folder, source.app) if target)
        if not found:
            raise ConfigurationError(
                "RayProvider does not know what to serve: give it a target such as RayProvider('echo_env'), or "
                "start it by with_provider() of a client class whose package has a server."
            )
        return found

    def _process_options(self) -> dict[str, Any]:
        return {
            "env_vars": dict(self.env_vars),
            "stop_grace_s": self.stop_grace_s,
            "max_concurrent_envs": self.max_concurrent_envs,
        }

    def _options(self) -> dict[str, Any]:
        """Return the options of an actor, without those that ask for nothing."""
        asked = {"memory": self.memory, "resources": self.resources, "runtime_env": self.runtime_env}
        return {
            "namespace": ray_cluster.NAMESPACE,
            "num_cpus": self.num_cpus,
            "scheduling_strategy": self.scheduling_strategy,
            "max_restarts": 0,
            **{key: value for key, value in asked.items() if value},
        }

    def _urls_of(self, ray: ModuleType) -> list[str]:
        starting = {actor.start.remote(): name for name, actor in self._actors.items()}
        pending = list(starting)
        end = time.monotonic() + self.create_timeout_s
        while pending:
            if self._stopping.is_set():
                raise self.failure(ProviderStartError, "RayProvider was stopped before Ray had placed its actors.")
            left = end - time.monotonic()
            if left <= 0:
                raise self.failure(OutOfSpaceError, self._no_place(ray, len(pending)))
            done, pending = ray.wait(pending, timeout=min(left, WAIT_SLICE_S))
            for reference in done:
                self._answer(ray, reference)
                self._started.add(starting[reference])
        return [str(url) for url in ray.get(list(starting))]

    def _answer(self, ray: ModuleType, reference: Any) -> None:
        """Raise what went wrong in an actor that was to start its server, as this project's error."""
        try:
            ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, OpenEnvError):
                raise error.cause from None
            raise self.failure(ProviderStartError, f"The actor failed to start its server: {error}") from error
        except ray.exceptions.RuntimeEnvSetupError as error:
            raise self.failure(ProviderStartError, f"Ray could not set the runtime_env up: {error}") from error
        except ray.exceptions.ActorUnschedulableError as error:
            raise self.failure(OutOfSpaceError, f"Ray cannot place the actor: {error}") from error
        except ray.exceptions.RayError as error:
            raise self.failure(
                ProviderStartError,
                f"The actor ended before its server was up: {error}. Are openenv and the environment installed on "
                "the nodes, in the same versions as here?",
            ) from error

    def _no_place(self, ray: ModuleType, missing: int) -> str:
        asked = {"CPU": self.num_cpus, "memory": self.memory or 0, **self.resources}
        free = ray.available_resources()
        room = ", ".join(
            f"{key}: {value:g} asked, {free.get(key, 0):g} free" for key, value in asked.items() if value
        )
        return (
            f"Ray has not brought up {missing} of {self.replicas} actors within the create budget of "
            f"{self.create_timeout_s:g} s. Of each is asked and in the whole cluster is free: {room or 'nothing'}. "
            "Ask for less, add nodes, or set create_timeout_s if a runtime_env takes longer to install."
        )

    # --- how they are ----------------------------------------------------------------------------

    def _statuses(self) -> Sequence[Status | None]:
        """Return how each server is, None for one whose actor does not answer now; the logs are kept."""
        ray = ray_cluster.imported()
        if not ray.is_initialized():
            return [Status("This program has left Ray, which ended the actors; do not call ray.shutdown().", "")]
        asked = [actor.status.remote() for actor in self._actors.values()]
        done, _ = ray.wait(asked, num_returns=len(asked), timeout=STATUS_S)
        statuses = [self._status(ray, reference) if reference in done else None for reference in asked]
        for replica, status in enumerate(statuses):
            if status is not None and status.log:
                self._logs[replica] = status.log
        return statuses

    def _status(self, ray: ModuleType, reference: Any) -> Status | None:
        try:
            status: Status = ray.get(reference)
        except ray.exceptions.ActorUnavailableError:  # Ray itself does not know yet
            return None
        except ray.exceptions.RayError as error:
            return Status(f"Its actor or the node of it has died: {error}", "")
        return status

    def _stop_servers(self, ray: ModuleType) -> None:
        """Let those actors that have a server end it, and keep its last words."""
        names = list(self._actors)
        asked = {self._actors[name].stop.remote(): names.index(name) for name in self._started}
        done, _ = (
            ray.wait(list(asked), num_returns=len(asked), timeout=self.stop_grace_s + KILL_S) if asked else ([], [])
        )
        for reference in done:
            try:
                self._logs[asked[reference]] = ray.get(reference)
            except ray.exceptions.RayError:  # it has died already; and if it failed, it is killed next
                pass
