"""What an engine keeps of ours, found by its labels: containers, and the images of snapshots."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from openenv.errors import ProviderError
from openenv.providers.docker.engine import told
from openenv.providers.ownership import PREFIX, OwnedResource, Ownership

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

__all__ = ["containers_of", "owned", "remove_container", "remove_image"]

REMOVAL_S = 20.0
LOOK_S = 0.02


def owned(client: DockerClient, kind: str, place: str, where: Mapping[str, str]) -> list[OwnedResource]:
    """Return the containers and images that carry the labels of one kind of provider.

    Args:
        client: The engine.
        kind: The provider's name in the registry.
        place: The engine's address, for errors.
        where: How the engine was reached, as in `Provider.where`.

    Raises:
        EngineUnavailableError: It cannot be asked.
    """
    found = []
    label = f"{PREFIX}provider={kind}"
    with told("list what it has", place):
        for one in client.containers.list(all=True, ignore_removed=True, filters={"label": label}):
            ownership = Ownership.from_labels(one.labels)
            if ownership is not None:
                created = _unix(one.attrs.get("Created"))
                found.append(OwnedResource(ownership, str(one.id), "container", one.status, created, where))
        for image in client.images.list(filters={"label": label}):
            ownership = Ownership.from_labels(image.labels)
            if ownership is not None:
                created = _unix(image.attrs.get("Created"))
                found.append(OwnedResource(ownership, str(image.id), "image", "", created, where))
    return found


def containers_of(client: DockerClient, name: str, place: str) -> list[Container]:
    """Return the containers of one start of a provider, in whatever state.

    Args:
        client: The engine.
        name: The name in their labels.
        place: The engine's address, for errors.
    """
    with told("list its containers", place):
        return client.containers.list(all=True, ignore_removed=True, filters={"label": f"{PREFIX}name={name}"})


def remove_container(client: DockerClient, container: str, place: str, grace_s: float = 0) -> None:
    """End a container, remove it, and wait until it is gone.

    Args:
        client: The engine.
        container: Its id.
        place: The engine's address, for errors.
        grace_s: Seconds between SIGTERM and SIGKILL; the engine counts whole ones.

    Raises:
        ProviderError: It could not be removed.
        EngineUnavailableError: The engine went away.
    """
    import docker.errors

    with told("stop a container", place):
        try:
            if grace_s > 0:
                client.containers.get(container).stop(timeout=round(max(grace_s, 1)))
        except docker.errors.APIError:  # gone, or it does not stop by being asked
            pass
    ends = time.monotonic() + REMOVAL_S
    with told("remove a container", place):
        while True:
            try:
                client.api.remove_container(container, force=True, v=True)
            except docker.errors.NotFound:
                return
            except docker.errors.APIError as error:
                # Ending, it is removed by the engine anyway; its disk may be busy for another moment.
                if time.monotonic() > ends:
                    raise ProviderError(
                        f"The engine does not remove the container {container[:12]}: {error.explanation}. "
                        "Call stop() again, or remove it with `docker rm -f`."
                    ) from error
            time.sleep(LOOK_S)


def remove_image(client: DockerClient, image: str, place: str) -> None:
    """Remove an image and its names; containers that were made of it live on.

    Raises:
        ProviderError: It could not be removed.
    """
    import docker.errors

    with told("remove an image", place), contextlib.suppress(docker.errors.NotFound):
        try:
            client.images.remove(image, force=True)
        except docker.errors.APIError as error:
            if error.status_code != 409:
                raise
            raise ProviderError(
                f"The image {image} is in use: {error.explanation}. End what runs of it first."
            ) from error


def _unix(created: object) -> float | None:
    """Return a time of the engine, `2026-01-31T12:00:00.123456789Z` or seconds, as Unix time."""
    if isinstance(created, (int, float)):
        return float(created)
    try:
        return datetime.fromisoformat(str(created)[:19] + "+00:00").timestamp()
    except ValueError:
        return None
