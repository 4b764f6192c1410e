"""The client side: `EnvClient` and its relatives.

Every name is imported when it is first used, and nothing here needs a web framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openenv.client.base import EnvClient
    from openenv.client.fleet import AutoresetMode
    from openenv.client.generic import GenericAction, GenericEnvClient
    from openenv.client.http import HTTPEnvClient
    from openenv.client.mcp import MCPClientBase, MCPToolClient
    from openenv.client.pool import EnvPool
    from openenv.client.progress import Progress
    from openenv.client.results import Failure
    from openenv.client.sync import SyncEnvClient
    from openenv.client.vector import VectorEnvClient

_HOMES = {
    "AutoresetMode": "fleet",
    "EnvClient": "base",
    "EnvPool": "pool",
    "Failure": "results",
    "GenericAction": "generic",
    "GenericEnvClient": "generic",
    "HTTPEnvClient": "http",
    "MCPClientBase": "mcp",
    "MCPToolClient": "mcp",
    "Progress": "progress",
    "SyncEnvClient": "sync",
    "VectorEnvClient": "vector",
}

__all__ = [
    "AutoresetMode",
    "EnvClient",
    "EnvPool",
    "Failure",
    "GenericAction",
    "GenericEnvClient",
    "HTTPEnvClient",
    "MCPClientBase",
    "MCPToolClient",
    "Progress",
    "SyncEnvClient",
    "VectorEnvClient",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"openenv.client.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
