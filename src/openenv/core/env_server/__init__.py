"""Old path of the server's side: every name of its modules.

What needs the web framework is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from openenv.core.env_server import (
    base_transforms,
    exceptions,
    interfaces,
    mcp_environment,
    mcp_types,
    serialization,
    types,
)
from openenv.core.env_server.base_transforms import *
from openenv.core.env_server.exceptions import *
from openenv.core.env_server.interfaces import *
from openenv.core.env_server.mcp_environment import *
from openenv.core.env_server.mcp_types import *
from openenv.core.env_server.serialization import *
from openenv.core.env_server.types import *

if TYPE_CHECKING:
    from openenv.core.env_server.http_server import HTTPEnvServer, create_app, create_fastapi_app

__all__ = ["HTTPEnvServer", "create_app", "create_fastapi_app"]
__all__ += base_transforms.__all__
__all__ += exceptions.__all__
__all__ += interfaces.__all__
__all__ += mcp_environment.__all__
__all__ += mcp_types.__all__
__all__ += serialization.__all__
__all__ += types.__all__


def __getattr__(name: str) -> object:
    if name == "http_server":
        return import_module("openenv.core.env_server.http_server")
    if name in ("HTTPEnvServer", "create_app", "create_fastapi_app"):
        return getattr(import_module("openenv.core.env_server.http_server"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
