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
    from openenv.core.env_server.gradio_theme import OPENENV_GRADIO_CSS
    from openenv.core.env_server.gradio_ui import build_gradio_app, get_gradio_display_title
    from openenv.core.env_server.http_server import HTTPEnvServer, create_app, create_fastapi_app
    from openenv.core.env_server.web_interface import WebInterfaceManager, create_web_interface_app

__all__ = [
    "OPENENV_GRADIO_CSS",
    "HTTPEnvServer",
    "WebInterfaceManager",
    "build_gradio_app",
    "create_app",
    "create_fastapi_app",
    "create_web_interface_app",
    "get_gradio_display_title",
]
__all__ += base_transforms.__all__
__all__ += exceptions.__all__
__all__ += interfaces.__all__
__all__ += mcp_environment.__all__
__all__ += mcp_types.__all__
__all__ += serialization.__all__
__all__ += types.__all__


_OF_THE_SERVER = {
    "HTTPEnvServer": "http_server",
    "OPENENV_GRADIO_CSS": "gradio_theme",
    "WebInterfaceManager": "web_interface",
    "build_gradio_app": "gradio_ui",
    "create_app": "http_server",
    "create_fastapi_app": "http_server",
    "create_web_interface_app": "web_interface",
    "get_gradio_display_title": "gradio_ui",
}


def __getattr__(name: str) -> object:
    if name in _OF_THE_SERVER.values():
        return import_module(f"openenv.core.env_server.{name}")
    if name in _OF_THE_SERVER:
        return getattr(import_module(f"openenv.core.env_server.{_OF_THE_SERVER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
