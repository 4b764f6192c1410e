"""Images: what one says of itself, and how it is found.

A bare name such as `echo-env:latest` is something that was built here; it is never looked for in a public
registry, where anybody might have taken it. A name with a registry or a user in it is pulled if it is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openenv.errors import ConfigurationError, ImageNotFoundError
from openenv.providers.docker.engine import NO_SPACE, told

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["NOBODY", "Image", "find_image"]

NOBODY = "65534:65534"
_ROOT = ("", "0", "root")


@dataclass(frozen=True)
class Image:
    """An image that the engine has.

    Attributes:
        name: As it was asked for.
        id: What the engine calls it, `sha256:...`.
        entrypoint: Its entry point.
        cmd: Its command.
        user: Its user, possibly with a group; empty for root.
        env: Its environment variables.
        labels: Its labels.
    """

    name: str
    id: str
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    user: str
    env: dict[str, str]
    labels: dict[str, str]

    @property
    def command(self) -> list[str]:
        """What a container of it runs.

        Raises:
            ConfigurationError: It names nothing to run.
        """
        if not (self.entrypoint or self.cmd):
            raise ConfigurationError(
                f"The image {self.name} names no command to run; give one, such as "
                'command=["openenv", "serve", "echo_env", "--port", "8000"].'
            )
        return [*self.entrypoint, *self.cmd]

    @property
    def harmless_user(self) -> str:
        """Its own user, or nobody if that is root."""
        return NOBODY if self.user.partition(":")[0] in _ROOT else self.user


def find_image(client: DockerClient, name: str, where: str, *, pull: bool | None = None) -> Image:
    """Return an image by its name or id.

    Args:
        client: The engine.
        name: Such as `echo-env:latest`.
        where: The engine's address, for errors.
        pull: Whether to get it from its registry if it is missing; None for names that have a registry or user.

    Raises:
        ImageNotFoundError: The engine has no such image, and cannot get it.
        OutOfSpaceError: The engine's disk is full.
        EngineUnavailableError: The engine went away.
    """
    import docker.errors

    if not name or name != name.strip():
        raise ConfigurationError(f"{name!r} is no name of an image, such as 'echo-env:latest'.")
    with told(f"look for the image {name}", where):
        try:
            return _described(name, client.images.get(name).attrs)
        except docker.errors.NotFound:
            pass
    if pull is False or (pull is None and "/" not in name):
        raise ImageNotFoundError(_missing(name))
    with told(f"pull the image {name}", where):
        try:
            # What goes wrong after the engine has begun to answer is a line of an answer that was good so far.
            lines = client.api.pull(name, stream=True, decode=True)
            said = [str(line["error"]) for line in lines if "error" in line]
            if said:
                raise docker.errors.APIError(said[-1], explanation=said[-1])
            return _described(name, client.images.get(name).attrs)
        except docker.errors.APIError as error:
            if any(words in str(error.explanation).lower() for words in NO_SPACE):
                raise
            raise ImageNotFoundError(f"{_missing(name)} Pulling it failed: {error.explanation}") from error


def _missing(name: str) -> str:
    return (
        f"The engine has no image {name!r}. Build it with `openenv build` in the environment's folder, or pull it "
        "with `docker pull`, or correct its name (`docker images` lists what there is)."
    )


def _described(name: str, found: dict[str, Any]) -> Image:
    config = found.get("Config") or {}
    pairs = (entry.partition("=") for entry in config.get("Env") or ())
    return Image(
        name=name,
        id=str(found["Id"]),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        cmd=tuple(config.get("Cmd") or ()),
        user=str(config.get("User") or ""),
        env={key: value for key, _, value in pairs},
        labels=dict(config.get("Labels") or {}),
    )
