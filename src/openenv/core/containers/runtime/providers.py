"""Old path of the providers; they live in `openenv.providers`."""

from openenv.providers import ContainerProvider, DockerSwarmProvider, LocalDockerProvider, RuntimeProvider

__all__ = ["ContainerProvider", "DockerSwarmProvider", "LocalDockerProvider", "RuntimeProvider"]
