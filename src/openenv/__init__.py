"""OpenEnv: isolated execution environments for agentic reinforcement learning.

Every name is imported when it is first used, so that `import openenv` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from openenv._version import __version__

if TYPE_CHECKING:
    from openenv.client import (
        EnvClient,
        EnvPool,
        GenericAction,
        GenericEnvClient,
        MCPClientBase,
        MCPToolClient,
        SyncEnvClient,
        VectorEnvClient,
    )

_HOMES = {
    "EnvClient": "openenv.client",
    "EnvPool": "openenv.client",
    "GenericAction": "openenv.client",
    "GenericEnvClient": "openenv.client",
    "MCPClientBase": "openenv.client",
    "MCPToolClient": "openenv.client",
    "SyncEnvClient": "openenv.client",
    "VectorEnvClient": "openenv.client",
}

__all__ = [
    "EnvClient",
    "EnvPool",
    "GenericAction",
    "GenericEnvClient",
    "MCPClientBase",
    "MCPToolClient",
    "SyncEnvClient",
    "VectorEnvClient",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
