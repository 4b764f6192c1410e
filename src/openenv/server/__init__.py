"""The server: sessions over environments, and the routes that carry messages to them.

`sessions`, `runner`, `threads`, `manager` and `connection` know no web framework; `app` and `routes` do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openenv.server.app import HTTPEnvServer, create_app, create_fastapi_app
    from openenv.server.serving import serve

__all__ = ["HTTPEnvServer", "create_app", "create_fastapi_app", "serve"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: the session core must be importable without FastAPI.
    if name == "serve":
        from openenv.server.serving import serve

        return serve
    if name in __all__:
        from openenv.server import app

        return getattr(app, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
