"""Providers by name. A provider's module is imported when somebody asks for it, never before.

Inside the project a provider is one row here; outside, an entry point of the group `openenv.providers`. The
rows come first, so an installed package cannot take the place of a provider of the project.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from openenv.errors import ConfigurationError
from openenv.providers.base import Provider

__all__ = ["available", "get_provider", "provider_class"]

ENTRY_POINTS = "openenv.providers"

_BUILT_IN = {
    "aca": "openenv.providers.aca:ACASandboxProvider",
    "daytona": "openenv.providers.daytona:DaytonaProvider",
    "docker": "openenv.providers.docker:LocalDockerProvider",
    "kubernetes": "openenv.providers.kubernetes:KubernetesProvider",
    "process": "openenv.providers.process:ProcessProvider",
    "ray": "openenv.providers.ray:RayProvider",
    "sandbox": "openenv.providers.sandbox:SandboxProvider",
    "swarm": "openenv.providers.swarm:DockerSwarmProvider",
    "uv": "openenv.providers.uv:UVProvider",
}


def available() -> list[str]:
    """Return the names of all providers, sorted; that one is listed does not mean that its engine is here."""
    return sorted({*_BUILT_IN, *_installed()})


def provider_class(name: str) -> type[Provider]:
    """Return the class that a name stands for.

    Raises:
        ConfigurationError: There is no provider of that name, or its package cannot be imported.
    """
    try:
        found = _load(name)
    except ImportError as error:
        raise ConfigurationError(
            f"The provider {name!r} cannot be imported: {error}. Install what it needs."
        ) from error
    if not (isinstance(found, type) and issubclass(found, Provider)):
        raise ConfigurationError(f"The provider {name!r} is {found!r:.100}, which is no subclass of Provider.")
    return found


def get_provider(name: str, **kwargs: Any) -> Provider:
    """Return a new provider, not started.

    Args:
        name: One of `available()`, such as `process`, or `module:class`.
        **kwargs: Arguments of its class.

    Raises:
        ConfigurationError: There is no provider of that name, or its package cannot be imported.
    """
    return provider_class(name)(**kwargs)


def _load(name: str) -> Any:
    installed = _installed()
    target = _BUILT_IN.get(name) or (installed[name].value if name in installed else name)
    module, colon, attribute = target.partition(":")
    if not colon:
        raise ConfigurationError(f"There is no provider {name!r}. Known are: {', '.join(available())}.")
    try:
        return getattr(import_module(module), attribute)
    except AttributeError as error:
        raise ImportError(str(error)) from error


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
