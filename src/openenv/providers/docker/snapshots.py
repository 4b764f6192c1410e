"""The files of a container kept as an image, with the labels of a thing of ours and without its secrets.

An engine keeps with the files what the container was made with: the first process, the environment variables, the
labels. Each is set back to what the image itself says, so that a snapshot is an image like any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from openenv.errors import EngineUnavailableError, ProviderError, SnapshotError
from openenv.providers.docker.engine import told

if TYPE_CHECKING:
    from docker import DockerClient

    from openenv.providers.docker.images import Image
    from openenv.providers.ownership import Ownership

__all__ = ["REPOSITORY", "keep"]

REPOSITORY = "openenv-snapshot"


def keep(
    client: DockerClient,
    container: str,
    image: Image,
    ownership: Ownership,
    env_vars: Mapping[str, str],
    place: str,
) -> str:
    """Keep the files of a running container, which stands still meanwhile, and return the new image's name.

    Args:
        client: The engine.
        container: Its id.
        image: What it was made of.
        ownership: What is written on the snapshot.
        env_vars: The variables that the container was given; they are not kept.
        place: The engine's address, for errors.

    Raises:
        SnapshotError: The engine could not.
        EngineUnavailableError: The engine went away.
    """
    try:
        with told("keep the container's files", place):
            client.containers.get(container).commit(
                repository=REPOSITORY,
                tag=ownership.name,
                changes=list(_changes(image, ownership, env_vars)),
            )
    except EngineUnavailableError:
        raise
    except ProviderError as error:
        raise SnapshotError(f"The state could not be kept. {error}") from error
    return f"{REPOSITORY}:{ownership.name}"


def _changes(image: Image, ownership: Ownership, env_vars: Mapping[str, str]) -> Iterator[str]:
    """Yield lines of a Dockerfile that set everything back."""
    # An entry point cannot be taken away, only replaced; so the command's first word becomes one.
    entrypoint, cmd = list(image.entrypoint), list(image.cmd)
    if not entrypoint:
        entrypoint, cmd = cmd[:1] or ["sh"], cmd[1:]
    yield f"ENTRYPOINT {json.dumps(entrypoint)}"
    yield f"CMD {json.dumps(cmd)}"
    yield f"USER {image.user or '0'}"
    for name in env_vars:
        yield f"ENV {name}={_quoted(image.env.get(name, ''))}"
    for name, value in {**image.labels, **ownership.labels()}.items():
        yield f"LABEL {_quoted(name)}={_quoted(value)}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("\n", " ")
    return f'"{escaped}"'
