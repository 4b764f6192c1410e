"""Old path of the providers; they live in `openenv.providers`."""

from openenv.providers import (
    ACASandboxProvider,
    ContainerProvider,
    DaytonaProvider,
    DockerSwarmProvider,
    KubernetesProvider,
    LocalDockerProvider,
    RayProvider,
    RuntimeProvider,
    UVProvider,
)

__all__ = [
    "ACASandboxProvider",
    "ContainerProvider",
    "DaytonaProvider",
    "DockerSwarmProvider",
    "KubernetesProvider",
    "LocalDockerProvider",
    "RayProvider",
    "RuntimeProvider",
    "UVProvider",
]
