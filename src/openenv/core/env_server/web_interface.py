"""Old path of the page to play on; it lives in `openenv.server.web`."""

from openenv.server.web.application import create_web_interface_app
from openenv.server.web.manager import WebInterfaceManager

__all__ = ["WebInterfaceManager", "create_web_interface_app"]
