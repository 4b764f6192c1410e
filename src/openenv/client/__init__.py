"""The client side: `EnvClient` and its relatives.

Every name is imported when it is first used, and nothing here needs a web framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openenv.client.base import EnvClient
    from openenv.client.generic import GenericAction, GenericEnvClient
    from openenv.client.http import HTTPEnvClient
    from openenv.client.sync import SyncEnvClient

_HOMES = {
    "EnvClient": "base",
    "GenericAction": "generic",
    "GenericEnvClient": "generic",
    "HTTPEnvClient": "http",
    "SyncEnvClient": "sync",
}

__all__ = ["EnvClient", "GenericAction", "GenericEnvClient", "HTTPEnvClient", "SyncEnvClient"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"openenv.client.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
