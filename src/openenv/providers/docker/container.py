"""One container of ours: made once however often it is asked for, followed from its first line to its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from openenv.errors import ConfigurationError, NameTakenError, ProviderStartError
from openenv.providers.docker.engine import closed_at_last, is_lost, told
from openenv.providers.log_tail import LogTail
from openenv.providers.ownership import PREFIX, Ownership

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

    from openenv.providers.docker.images import Image

__all__ = ["NoSuchProgramError", "create", "follow_log", "published_port", "start"]

LOG_LINES = 500


class NoSuchProgramError(ProviderStartError):
    """The image lacks the program that was to be its container's first process."""


def create(
    client: DockerClient,
    image: Image,
    name: str,
    ownership: Ownership,
    command: Sequence[str],
    arguments: dict[str, Any],
    place: str,
) -> Container:
    """Return a new container that has not been started.

    An answer that was lost leaves open whether there is one. The engine gives a name once only, so asking again
    tells: either it makes the container now, or says that it has it.

    Args:
        client: The engine.
        image: What it is made of.
        name: Its name.
        ownership: What is written on it.
        command: Its whole command line.
        arguments: Of `containers.create` of Docker's SDK.
        place: The engine's address, for errors.

    Raises:
        NameTakenError: Something that is not ours has the name.
        ConfigurationError: There is no such option.
        ProviderStartError: The engine refuses, see `told`.
    """
    labels = {**arguments.get("labels", {}), **ownership.labels()}
    arguments = {name: value for name, value in arguments.items() if name != "labels"}

    def once() -> Container:
        with told(f"make a container of {image.name}", place):
            try:
                return client.containers.create(
                    image.id,
                    name=name,
                    labels=labels,
                    entrypoint=[command[0]],
                    command=list(command[1:]),
                    auto_remove=True,
                    use_config_proxy=False,
                    **arguments,
                )
            except (TypeError, ValueError) as error:
                raise ConfigurationError(f"Docker's SDK does not take these options: {error}.") from error

    try:
        return _taking_our_own(client, name, ownership, once)
    except ProviderStartError as error:
        if not is_lost(error):
            raise
        return _taking_our_own(client, name, ownership, once)


def _taking_our_own(
    client: DockerClient, name: str, ownership: Ownership, make: Callable[[], Container]
) -> Container:
    try:
        return make()
    except NameTakenError:
        with contextlib.suppress(Exception):
            found = client.containers.get(name)
            if found.labels.get(f"{PREFIX}name") == ownership.name:
                return found
        raise


def start(container: Container, place: str) -> None:
    """Start a container; one that has started, because an answer was lost, is left as it is.

    Raises:
        NoSuchProgramError: Its first process is not in the image.
        ProviderStartError: The engine refuses, see `told`.
    """
    for attempt in (1, 2):
        try:
            with told("start a container", place):
                container.start()
            return
        except ProviderStartError as error:
            if "executable file not found" in str(error) or "no such file or directory: unknown" in str(error):
                raise NoSuchProgramError(str(error)) from error
            if attempt == 2 or not is_lost(error):
                raise


def follow_log(container: Container, place: str) -> LogTail:
    """Return the last lines of a container that is about to start, as they come."""
    with told("read a container's output", place):
        stream = container.attach(stream=True, stdout=True, stderr=True)
    return LogTail(_blocks(stream), lines=LOG_LINES)


def _blocks(stream: Any) -> Iterator[bytes]:
    # It may break off in many ways; whatever comes no more is no more.
    with contextlib.suppress(Exception), closed_at_last(stream):
        yield from stream


def published_port(container: Container, port: int, place: str) -> int:
    """Return the port of the engine's machine that leads to a port of the container.

    Raises:
        ProviderStartError: None does: its network allows none.
    """
    with told("tell a container's port", place):
        container.reload()
    found = container.attrs["NetworkSettings"].get("Ports", {}).get(f"{port}/tcp")
    if not found:
        raise ProviderStartError(
            "The network of the container publishes no port, so its server cannot be reached. Give "
            "network='bridge', or network=None for a container that has no network and is reached all the same."
        )
    return int(found[0]["HostPort"])
