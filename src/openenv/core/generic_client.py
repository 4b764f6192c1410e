"""Old path of the client without types; it lives in `openenv.client`."""

from openenv.client.generic import GenericAction, GenericEnvClient

__all__ = ["GenericAction", "GenericEnvClient"]
