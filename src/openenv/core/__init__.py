"""Old path of everything: the names of `env_server`, and the clients.

This package holds re-exports and nothing else; every name lives in the packages beside it, and most are imported
when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from openenv.core import env_server

if TYPE_CHECKING:
    from openenv.core.env_client import EnvClient
    from openenv.core.env_server.base_transforms import *
    from openenv.core.env_server.exceptions import *
    from openenv.core.env_server.gradio_theme import *
    from openenv.core.env_server.gradio_ui import *
    from openenv.core.env_server.http_server import *
    from openenv.core.env_server.interfaces import *
    from openenv.core.env_server.mcp_environment import *
    from openenv.core.env_server.mcp_types import *
    from openenv.core.env_server.serialization import *
    from openenv.core.env_server.types import *
    from openenv.core.env_server.web_interface import *
    from openenv.core.generic_client import GenericAction, GenericEnvClient
    from openenv.core.mcp_client import MCPClientBase, MCPToolClient
    from openenv.core.sync_client import SyncEnvClient

__all__ = ["EnvClient", "GenericAction", "GenericEnvClient", "MCPClientBase", "MCPToolClient", "SyncEnvClient"]
__all__ += env_server.__all__

_CLIENTS = {
    "EnvClient": "env_client",
    "GenericAction": "generic_client",
    "GenericEnvClient": "generic_client",
    "MCPClientBase": "mcp_client",
    "MCPToolClient": "mcp_client",
    "SyncEnvClient": "sync_client",
}


def __getattr__(name: str) -> object:
    if name in _CLIENTS.values():
        return import_module(f"openenv.core.{name}")
    if name in _CLIENTS:
        return getattr(import_module(f"openenv.core.{_CLIENTS[name]}"), name)
    if name in env_server.__all__:
        return getattr(env_server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
