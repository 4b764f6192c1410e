"""Old path of the client; it lives in `openenv.client`."""

from openenv.client.base import EnvClient

__all__ = ["EnvClient"]
