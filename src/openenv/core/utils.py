"""Old path of two functions of clients; they live in `openenv.client`."""

from openenv.client.link import convert_to_ws_url
from openenv.client.portal import run_async_safely

__all__ = ["convert_to_ws_url", "run_async_safely"]
