"""Build an environment's image, and push it if a registry is named."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from openenv.errors import ConfigurationError
from openenv.images.context import describe, fill
from openenv.images.engine import Engine, find_engine

__all__ = ["BuiltImage", "build_image"]

_TAG = re.compile(r"[a-z0-9][a-z0-9._/:-]*(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?")


@dataclass(frozen=True)
class BuiltImage:
    """An image that was built.

    Attributes:
        tag: Its name, such as `echo-env:latest`.
        engine: The engine that has it, `docker` or `podman`.
        id: What the engine calls it.
        size: Bytes, with the layers of its base image.
        seconds: How long it took.
        pushed: The name under which a registry has it; None if it was not pushed.
    """

    tag: str
    engine: str
    id: str
    size: int
    seconds: float
    pushed: str | None = None


def build_image(
    folder: str | Path = ".",
    *,
    tag: str | None = None,
    engine: Engine | None = None,
    build_args: Mapping[str, str] | None = None,
    push: str | None = None,
    no_cache: bool = False,
    released: bool = False,
    tell: Callable[[str], None] = lambda _: None,
    verbose: bool = False,
) -> BuiltImage:
    """Build the image of an environment.

    The openenv in it is the one that runs here, and the versions of all else are those of the folder's
    `constraints.txt`, or of the checkout that openenv runs from, or those installed here.

    Args:
        folder: The environment's folder, with its `Dockerfile`. It is left as it is.
        tag: The image's name; by default its name in `openenv.yaml`, as in `echo-env:latest`.
        engine: What builds it; by default the first of Docker and Podman that answers.
        build_args: Values for `ARG` of the Dockerfile.
        push: A registry, possibly with a path, such as `ghcr.io/me`.
        no_cache: Do every step again.
        released: Take openenv from the package index.
        tell: Called with a line for each step.
        verbose: Call it with all that the engine writes.

    Raises:
        ConfigurationError: The folder is no environment's, or the name is none for an image.
        EngineUnavailableError: There is no engine.
        ImageBuildError: A step failed, or the registry does not take the image.
    """
    began = time.monotonic()
    described = describe(Path(folder))
    name = tag or described.tag
    if not _TAG.fullmatch(name):
        raise ConfigurationError(f"{name!r} is no name for an image; write it like 'echo-env:latest'.")
    name = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
    engine = engine or find_engine()
    tell(f"Building {name} with {engine.name} from {described.folder}")
    with tempfile.TemporaryDirectory(prefix="openenv-build-") as temporary:
        context = Path(temporary) / "context"
        fill(context, described, released=released)
        engine.build(
            context,
            tag=name,
            dockerfile=described.dockerfile,
            labels=described.labels,
            build_args=build_args or {},
            no_cache=no_cache,
            tell=tell,
            verbose=verbose,
        )
    pushed = None
    if push:
        pushed = f"{push.rstrip('/')}/{name}"
        tell(f"Pushing {pushed}")
        engine.tag(name, pushed)
        engine.push(pushed, tell=tell, verbose=verbose)
    identity, size = engine.inspect(name)
    return BuiltImage(name, engine.name, identity, size, time.monotonic() - began, pushed)
