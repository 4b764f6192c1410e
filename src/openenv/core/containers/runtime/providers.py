"""Old path of the providers; they live in `openenv.providers`."""

from openenv.providers import (
    ACASandboxProvider,
    ContainerProvider,
    DaytonaProvider,
    LocalDockerProvider,
    RayProvider,
    RuntimeProvider,
)

__all__ = [
    "ACASandboxProvider",
    "ContainerProvider",
    "DaytonaProvider",
    "LocalDockerProvider",
    "RayProvider",
    "RuntimeProvider",
]
