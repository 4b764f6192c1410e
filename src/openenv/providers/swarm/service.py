"""One service of a swarm: made once though asked for twice, looked at, and removed with all its tasks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from openenv.errors import EngineUnavailableError, NameTakenError, ProviderError
from openenv.providers.docker.engine import told
from openenv.providers.docker.images import Image
from openenv.providers.ownership import PREFIX, OwnedResource, Ownership
from openenv.providers.swarm.command import task_command
from openenv.providers.swarm.options import NANO, ServiceOptions
from openenv.providers.swarm.tasks import Task, tasks_of

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["Plan", "create", "find", "manager", "node_address", "owned", "published_port", "remove", "tasks"]

RESTART_DELAY_S = 1.0
LOOK_S = 0.1
REMOVAL_S = 60.0


@dataclass(frozen=True)
class Plan:
    """What is to be made.

    Attributes:
        name: The service's name.
        image: What the tasks are made of.
        options: How they are held in and placed.
        replicas: How many.
        env_vars: Environment variables of the servers.
        ownership: What is written on the service, and on the containers of its tasks.
        grace_s: Seconds between SIGTERM and SIGKILL.
    """

    name: str
    image: Image
    options: ServiceOptions
    replicas: int
    env_vars: Mapping[str, str]
    ownership: Ownership
    grace_s: float

    def template(self, api: tuple[int, ...]) -> dict[str, Any]:
        """Return the `TaskTemplate`."""
        command = task_command(
            list(self.options.command or self.image.command),
            expires=self.ownership.expires,
            grace_s=self.grace_s,
            port=self.options.container_port,
        )
        container = self.options.container(self.image, command, self.env_vars, api)
        container["Labels"] = self.labels
        container["StopGracePeriod"] = int(self.grace_s * NANO)
        condition = "on-failure" if self.options.replace_ended else "none"
        return {
            "ContainerSpec": container,
            "Resources": self.options.resources(),
            "Placement": self.options.placement(),
            "RestartPolicy": {"Condition": condition, "Delay": int(RESTART_DELAY_S * NANO)},
            "Networks": [{"Target": name} for name in self.options.networks],
        }

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the service and of its containers."""
        return {**self.options.labels, **self.ownership.labels()}


def manager(client: DockerClient, place: str) -> None:
    """Make sure that the engine manages a swarm.

    Raises:
        EngineUnavailableError: It does not.
    """
    with told("tell about its swarm", place):
        state = client.info().get("Swarm") or {}
    if not state.get("ControlAvailable"):
        why = "is a worker of a swarm" if state.get("LocalNodeState") == "active" else "is in no swarm"
        raise EngineUnavailableError(
            f"The engine at {place} {why}, and services are made with a manager. Give base_url= of one, or make "
            "this engine one: `docker swarm init`."
        )


def create(client: DockerClient, plan: Plan, place: str) -> str:
    """Make the service and return its id; if it is there already, from a request whose answer was lost, that one's.

    Raises:
        NameTakenError: Another service has the name.
        ProviderStartError: The swarm refuses.
    """
    version = tuple(int(part) for part in str(client.api.api_version).split("."))
    try:
        with told(f"make the service {plan.name}", place):
            made: Mapping[str, Any] = _api(client).create_service(
                plan.template(version),
                name=plan.name,
                labels=plan.labels,
                mode={"Replicated": {"Replicas": plan.replicas}},
                endpoint_spec=plan.options.endpoint(),
            )
            return str(made["ID"])
    except NameTakenError:
        for service in find(client, plan.ownership.name, place):
            if service["Spec"]["Name"] == plan.name:
                return str(service["ID"])
        raise


def find(client: DockerClient, name: str, place: str) -> list[dict[str, Any]]:
    """Return the services that one start of a provider has made, as the API tells of them."""
    with told("list services", place):
        return list(_api(client).services(filters={"label": f"{PREFIX}name={name}"}))


def tasks(client: DockerClient, service: str, place: str) -> list[Task]:
    """Return all tasks that the swarm remembers of a service, the oldest first."""
    with told("list tasks", place):
        return tasks_of(_api(client).tasks(), service)


def published_port(client: DockerClient, service: str, place: str) -> int | None:
    """Return the port that the routing mesh has for a service; None if it has none yet."""
    with told("look at a service", place):
        endpoint = _api(client).inspect_service(service).get("Endpoint") or {}
    ports: Sequence[Mapping[str, Any]] = endpoint.get("Ports") or ()
    return next((int(port["PublishedPort"]) for port in ports if port.get("PublishedPort")), None)


def node_address(client: DockerClient, node: str, place: str) -> str:
    """Return the address of a node, as the swarm knows it."""
    with told("look at a node", place):
        found = client.api.inspect_node(node)
    own = str((found.get("Status") or {}).get("Addr") or "")
    if own in ("", "0.0.0.0", "::"):  # noqa: S104 - what a manager may say of itself
        own = str((found.get("ManagerStatus") or {}).get("Addr") or "").rpartition(":")[0]
    return own or "127.0.0.1"


def remove(client: DockerClient, service: str, place: str) -> None:
    """Remove a service, and wait until none of its tasks is left on a node that can be asked.

    Raises:
        ProviderError: Something is still there.
        EngineUnavailableError: The engine went away.
    """
    import docker.errors

    with told("remove a service", place):
        try:
            _api(client).remove_service(service)
        except docker.errors.NotFound:
            pass
    end = time.monotonic() + REMOVAL_S
    while left := [task for task in tasks(client, service, place) if task.node]:
        down = _nodes_that_are_down(client, place)
        if all(task.node in down for task in left):
            return
        if time.monotonic() > end:
            raise ProviderError(
                f"{len(left)} tasks of a removed service are still there after {REMOVAL_S:g} s. Call stop() again, "
                "and look at their nodes: `docker node ls`."
            )
        time.sleep(LOOK_S)


def owned(client: DockerClient, kind: str, place: str, where: Mapping[str, str]) -> Iterator[OwnedResource]:
    """Yield every service that providers of a kind have made."""
    with told("list services", place):
        found = _api(client).services(filters={"label": f"{PREFIX}provider={kind}"})
    for one in found:
        ownership = Ownership.from_labels(one["Spec"].get("Labels") or {})
        if ownership is not None:
            running = sum(task.runs for task in tasks(client, str(one["ID"]), place))
            wanted = one["Spec"]["Mode"].get("Replicated", {}).get("Replicas", 0)
            state, created = f"{running} of {wanted} running", _unix(one.get("CreatedAt"))
            yield OwnedResource(ownership, str(one["ID"]), "service", state, created, where)


def _api(client: DockerClient) -> Any:
    return client.api  # half of it has no types


def _nodes_that_are_down(client: DockerClient, place: str) -> set[str]:
    with told("list nodes", place):
        found = client.api.nodes()
    return {str(one["ID"]) for one in found if (one.get("Status") or {}).get("State") == "down"}


def _unix(created: object) -> float | None:
    try:
        return datetime.fromisoformat(str(created)[:19] + "+00:00").timestamp()
    except ValueError:
        return None
