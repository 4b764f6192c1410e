"""Old path of the server; it lives in `openenv.server`."""

from openenv.server.app import HTTPEnvServer, create_app, create_fastapi_app

__all__ = ["HTTPEnvServer", "create_app", "create_fastapi_app"]
