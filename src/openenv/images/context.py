"""What an image is built from: a copy of the environment's folder, a wheel of openenv and the versions to take.

The folder itself is never written to. The Dockerfile that `openenv init` makes uses the two additions if they are
there and does without them if they are not, so a plain `docker build .` works as well.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from openenv._version import __version__
from openenv.errors import ConfigurationError
from openenv.images.wheel import checkout, write_wheel
from openenv.providers.source import image_name, read_manifest

__all__ = ["Described", "describe", "fill"]

CONSTRAINTS = "constraints.txt"
# Where environments keep it; the second is the place of older releases.
DOCKERFILES = ("Dockerfile", "server/Dockerfile")
NOT_COPIED = (".git", ".venv*", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis", "node_modules")
# Not `openenv.`: what a container is labelled with to tell whose it is would be mixed up with its image's.
LABEL = "openenv.image."
PROTOCOLS = "1 2"  # what the server in it speaks
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True)
class Described:
    """What an environment's folder says of itself.

    Attributes:
        folder: The folder.
        dockerfile: Path of its Dockerfile in it.
        tag: The image's usual name, such as `echo-env:latest`; what `from_docker_image` and the providers take.
        labels: What the image is labelled with.
    """

    folder: Path
    dockerfile: str
    tag: str
    labels: dict[str, str]


def describe(folder: Path) -> Described:
    """Return what a folder says of itself.

    Raises:
        ConfigurationError: It is no environment's folder, or has no Dockerfile.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"There is no folder {folder}; give the one that holds openenv.yaml.")
    dockerfile = next((name for name in DOCKERFILES if (folder / name).is_file()), None)
    if dockerfile is None:
        raise ConfigurationError(
            f"{folder} has no Dockerfile. Copy one from an environment that `openenv init NAME` makes."
        )
    manifest = read_manifest(folder)
    package = folder.resolve().name
    name = str(manifest.get("name") or package)
    labels = {
        "org.opencontainers.image.title": name,
        "org.opencontainers.image.version": str(manifest.get("version") or ""),
        "org.opencontainers.image.description": str(manifest.get("description") or ""),
        f"{LABEL}name": name,
        f"{LABEL}version": str(manifest.get("version") or ""),
        f"{LABEL}protocol": PROTOCOLS,
        f"{LABEL}framework": __version__,
    }
    return Described(
        folder=folder,
        dockerfile=dockerfile,
        tag=image_name(manifest.get("name"), package),
        labels={key: value for key, value in labels.items() if value},
    )


def fill(context: Path, described: Described, *, released: bool) -> None:
    """Copy the environment's folder to where an engine will read it, and add the wheel and the versions.

    Args:
        context: A folder that does not exist yet.
        described: The environment.
        released: Leave openenv to the package index, in whatever version it has.

    Raises:
        ConfigurationError: The folder cannot be copied, or the running openenv does not know what it needs.
    """
    try:
        shutil.copytree(described.folder, context, symlinks=True, ignore=shutil.ignore_patterns(*NOT_COPIED))
    except (OSError, shutil.Error) as error:
        raise ConfigurationError(f"{described.folder} cannot be copied: {error}") from error
    if not released:
        wheels = context / "wheels"
        wheels.mkdir(exist_ok=True)
        write_wheel(wheels)
    versions = context / CONSTRAINTS
    if not versions.exists():
        versions.write_text(_versions(described.folder, released=released), encoding="utf-8")


def _versions(folder: Path, *, released: bool) -> str:
    """Return the constraints: those of the checkout that openenv runs from, else the versions installed here."""
    root = checkout()
    if root is not None and (root / CONSTRAINTS).is_file():
        return (root / CONSTRAINTS).read_text(encoding="utf-8")
    lines = sorted(_installed(["openenv", *_required(folder)]), key=str.lower)
    return "".join(f"{line}\n" for line in lines if not (released and line.startswith("openenv==")))


def _required(folder: Path) -> list[str]:
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        return [str(requirement) for requirement in project["project"]["dependencies"]]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError):
        return []


def _installed(requirements: list[str]) -> Iterator[str]:
    """Yield `name==version` of requirements and all that they require, as far as they are installed here."""
    waiting, seen = list(requirements), set[str]()
    while waiting:
        requirement = waiting.pop()
        found = _NAME.match(requirement)
        if found is None or "extra ==" in requirement:
            continue
        name = re.sub(r"[-_.]+", "-", found[1]).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            here = distribution(name)
        except PackageNotFoundError:
            continue
        yield f"{name}=={here.version}"
        waiting += here.requires or []
