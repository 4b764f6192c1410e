"""Old path of the providers; they live in `openenv.providers`."""

from openenv.providers import ContainerProvider, LocalDockerProvider, RuntimeProvider

__all__ = ["ContainerProvider", "LocalDockerProvider", "RuntimeProvider"]
