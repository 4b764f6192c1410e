"""Old path of the blocking face of a client; it lives in `openenv.client`."""

from openenv.client.sync import SyncEnvClient

__all__ = ["SyncEnvClient"]
