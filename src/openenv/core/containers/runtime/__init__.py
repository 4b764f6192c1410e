"""Old path of the providers; they live in `openenv.providers`."""

from openenv.core.containers.runtime.providers import ContainerProvider, LocalDockerProvider, RuntimeProvider

__all__ = ["ContainerProvider", "LocalDockerProvider", "RuntimeProvider"]
