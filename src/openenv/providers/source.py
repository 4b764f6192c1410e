"""What a client class knows of the environment it belongs to, for providers that were made without a target.

`EchoEnv.with_provider(ProcessProvider())` says nowhere what to run. The class does: it lives in a package,
the package has a folder, and the folder may have an `openenv.yaml`. Only files are looked at; the
environment's server code is never imported here.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openenv.errors import ConfigurationError

__all__ = ["Source", "image_name", "read_manifest"]

MANIFEST = "openenv.yaml"
DEFAULT_APP = "server.app:app"

_IMAGE_NAME = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*")


@dataclass(frozen=True)
class Source:
    """Where an environment can be started from. Every field may be unknown.

    Attributes:
        package: The import name of its package, such as `echo_env`.
        app: Its server as `module:attribute`, such as `echo_env.server.app:app`.
        image: Its container image, such as `echo-env:latest`.
        folder: The package's folder, the form that also works for a checkout which is not installed.
    """

    package: str | None = None
    app: str | None = None
    image: str | None = None
    folder: str | None = None

    @classmethod
    def of(cls, client_class: type) -> Source:
        """Return what the package of a client class tells.

        A class made outside any package, such as a subclass in a script, counts as its nearest ancestor that
        belongs to an environment package. `envs.echo_env` in a checkout counts as `echo_env`.

        Args:
            client_class: A subclass of `EnvClient`, or any class of an environment package.

        Raises:
            ConfigurationError: The package's `openenv.yaml` cannot be read.
        """
        sources = [_of_package(*place) for base in client_class.__mro__ if (place := _package(base))]
        return next((source for source in sources if source.app), sources[0] if sources else cls())


def _package(cls: type) -> tuple[str, Path | None] | None:
    """Return the name and the folder of the environment package that a class belongs to."""
    module = sys.modules.get(cls.__module__)
    # `__package__` rather than `__module__`: it is right for `python -m echo_env.client` as well.
    parts = (getattr(module, "__package__", None) or "").split(".")
    depth = 2 if parts[0] == "envs" else 1
    if len(parts) < depth or parts[0] in ("", "openenv"):
        return None
    package = sys.modules.get(".".join(parts[:depth]))
    folder = next(iter(getattr(package, "__path__", ())), None)
    return parts[depth - 1], Path(folder).resolve() if folder else None


def _of_package(package: str, folder: Path | None) -> Source:
    manifest = read_manifest(folder) if folder else {}
    app = manifest.get("app")
    if app is None and folder and (folder / "server" / "app.py").is_file():
        app = DEFAULT_APP
    if app is not None:
        app = f"{package}.{str(app).removeprefix(f'{package}.')}"
    return Source(
        package=package,
        app=app,
        image=image_name(manifest.get("name"), package),
        folder=str(folder) if folder and app else None,
    )


def image_name(name: Any, package: str) -> str:
    """Return the image of an environment, from its name in the manifest or else from its package's."""
    candidate = str(name or package).lower().replace("_", "-")
    if not _IMAGE_NAME.fullmatch(candidate):  # a title for people, such as "Echo Environment"
        candidate = package.lower().replace("_", "-")
    return f"{candidate}:latest"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's `openenv.yaml`, empty if there is none.

    Raises:
        ConfigurationError: It cannot be read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} must hold 'key: value' lines, not a {type(content).__name__}.")
    return content
