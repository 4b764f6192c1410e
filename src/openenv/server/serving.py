"""Run an application with uvicorn, set up so that both ends agree on the size limit."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from typing import Any

import uvicorn

from openenv import settings


def wire_options() -> dict[str, Any]:
    """Return the uvicorn settings the wire relies on, for a program that runs uvicorn itself."""
    return {
        "http": _http_class(),
        "ws": _websocket_class(),
        "ws_max_size": settings.max_message_size(),
        "ws_per_message_deflate": False,  # costs more CPU than the bytes are worth where this runs
        "timeout_graceful_shutdown": 3,
    }


def _http_class() -> Any:
    try:
        from openenv.server.punctual import PunctualHttp
    except ImportError:  # no httptools, or a uvicorn of another shape
        return "auto"
    return PunctualHttp


def _websocket_class() -> Any:
    try:
        from openenv.server import fast
    except ImportError:  # no picows, or a uvicorn of another shape
        return "websockets-sansio"
    return fast.FastWebSocket if fast.available() else "websockets-sansio"


def serve(
    app: Any,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    fd: int | None = None,
    workers: int = 1,
    reload: bool = False,
    reload_dirs: Sequence[str] | None = None,
    log_level: str = "info",
) -> None:
    """Serve until interrupted.

    Args:
        app: An ASGI application, or its import string `module:attribute` (needed for workers and reload).
        host: Address to listen on; loopback by default.
        port: Port to listen on.
        fd: File descriptor of a listening socket to use instead of host and port.
        workers: Server processes.
        reload: Restart when a source file changes.
        reload_dirs: Folders to watch; the current one by default.
        log_level: One of uvicorn's: `critical`, `error`, `warning`, `info`, `debug`, `trace`.
    """
    options = {"log_level": log_level, "access_log": log_level in ("debug", "trace"), **wire_options()}
    if fd is not None and workers == 1 and not reload:
        # uvicorn takes any descriptor for a Unix socket, and so leaves Nagle's delay on for TCP.
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn has shut down in good order and raises it once more
            uvicorn.Server(uvicorn.Config(app, **options)).run(sockets=[socket.socket(fileno=os.dup(fd))])
        return
    uvicorn.run(
        app,
        host=host,
        port=port,
        fd=fd,
        workers=workers,
        reload=reload,
        reload_dirs=list(reload_dirs) if reload_dirs else None,
        **options,
    )
