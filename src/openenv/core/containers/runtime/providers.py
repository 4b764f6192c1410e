"""Old path of the base classes of providers; they live in `openenv.providers`."""

from openenv.providers import ContainerProvider, RuntimeProvider

__all__ = ["ContainerProvider", "RuntimeProvider"]
