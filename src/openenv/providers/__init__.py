"""Start environment servers and end them for certain: one contract, one file for each backend.

Every name is imported when it is first used, so that `import openenv.providers` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openenv.providers.aca import ACASandboxProvider
    from openenv.providers.base import Provider
    from openenv.providers.daytona import DaytonaProvider
    from openenv.providers.docker import LocalDockerProvider
    from openenv.providers.kubernetes import KubernetesProvider
    from openenv.providers.pool import ProviderPool, WarmMetrics
    from openenv.providers.process import ProcessProvider
    from openenv.providers.ray import RayProvider
    from openenv.providers.redaction import redact
    from openenv.providers.registry import available, get_provider, provider_class
    from openenv.providers.sandbox import SandboxProvider
    from openenv.providers.source import Source
    from openenv.providers.spellings import ContainerProvider, RuntimeProvider
    from openenv.providers.swarm import DockerSwarmProvider
    from openenv.providers.uv import UVProvider

__all__ = [
    "ACASandboxProvider",
    "ContainerProvider",
    "DaytonaProvider",
    "DockerSwarmProvider",
    "KubernetesProvider",
    "LocalDockerProvider",
    "ProcessProvider",
    "Provider",
    "ProviderPool",
    "RayProvider",
    "RuntimeProvider",
    "SandboxProvider",
    "Source",
    "UVProvider",
    "WarmMetrics",
    "available",
    "get_provider",
    "provider_class",
    "redact",
]

_HOMES = {
    "ACASandboxProvider": "aca",
    "ContainerProvider": "spellings",
    "DaytonaProvider": "daytona",
    "DockerSwarmProvider": "swarm",
    "KubernetesProvider": "kubernetes",
    "LocalDockerProvider": "docker",
    "ProcessProvider": "process",
    "Provider": "base",
    "ProviderPool": "pool",
    "RayProvider": "ray",
    "RuntimeProvider": "spellings",
    "SandboxProvider": "sandbox",
    "Source": "source",
    "UVProvider": "uv",
    "WarmMetrics": "pool",
    "available": "registry",
    "get_provider": "registry",
    "provider_class": "registry",
    "redact": "redaction",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
