"""Old path of the blocking HTTP client; it lives in `openenv.client`."""

from openenv.client.http import HTTPEnvClient

__all__ = ["HTTPEnvClient"]
