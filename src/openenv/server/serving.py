"""Run an application with uvicorn, set up so that both ends agree on the size limit."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from openenv import settings
from openenv.errors import ConfigurationError
from openenv.protocol.listening import listening_at, listening_on

if TYPE_CHECKING:
    from openenv.server.app import HTTPEnvServer

TURNS_TO_TELL = 16
"""Turns of the event loop between the end of the sessions and that of the connections, for the last frames."""


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


def served(app: Any) -> HTTPEnvServer | None:
    """Return the environment's server that an application was made for; None if it was made by others."""
    while app is not None:
        found: HTTPEnvServer | None = getattr(getattr(app, "state", None), "openenv", None)
        if found is not None:
            return found
        app = getattr(app, "app", None)  # middleware around it
    return None


class OrderlyServer(uvicorn.Server):
    """uvicorn that ends all sessions before it closes the connections, so that their clients are told why."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin. Nothing of what is there by now ever becomes garbage, so it is not looked through again."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        server = served(self.config.loaded_app)
        if server is not None:
            server.manager.stop()
            for _ in range(TURNS_TO_TELL):
                await asyncio.sleep(0)
        await super().shutdown(sockets)


def serve(
    app: Any,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    fd: int | None = None,
    uds: str | None = None,
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
        uds: Path of a Unix domain socket to listen on instead; only this user may connect to it.
        workers: Server processes behind this one address. Their limit of sessions is that of all together.
        reload: Restart when a source file changes.
        reload_dirs: Folders to watch; the current one by default.
        log_level: One of uvicorn's: `critical`, `error`, `warning`, `info`, `debug`, `trace`.

    Raises:
        ConfigurationError: Several workers of an application that has no name, or the path is in use.
        SystemExit: The server could not be started.
    """
    options = {"log_level": log_level, "access_log": log_level in ("debug", "trace"), **wire_options()}
    if reload:
        where = {"fd": fd} if fd is not None else {"uds": uds} if uds is not None else {"host": host, "port": port}
        uvicorn.run(app, reload=True, reload_dirs=list(reload_dirs) if reload_dirs else None, **where, **options)
        return
    if fd is None and uds is None and workers == 1:
        _run(OrderlyServer(uvicorn.Config(app, host=host, port=port, **options)))
        return
    with _listener(host, port, fd, uds) as listener:
        if workers > 1:
            _serve_by_several(app, workers, listener, log_level, options)
        else:
            # uvicorn takes any descriptor for a Unix socket, and so leaves Nagle's delay on for TCP.
            _run(OrderlyServer(uvicorn.Config(app, **options)), listener)


def _run(server: uvicorn.Server, *listeners: socket.socket) -> None:
    # When uvicorn has shut down in good order it raises the signal that asked for it once more.
    with contextlib.suppress(KeyboardInterrupt), ended_by_sigterm():
        server.run(sockets=list(listeners) or None)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the program by an exception, so that what has to be cleaned up is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _serve_by_several(
    app: Any, workers: int, listener: socket.socket, log_level: str, options: dict[str, Any]
) -> None:
    if os.name != "posix":
        raise ConfigurationError("Several server processes need Linux or macOS; on Windows use WSL.")
    if not isinstance(app, str):
        raise ConfigurationError("Several server processes each import the app: give it as 'module:attribute'")
    from openenv.server.processes.supervisor import Supervisor

    uvicorn.Config(app, **options)  # sets the logging up
    status = Supervisor(app, workers, listener, log_level).run()
    if status:
        sys.exit(status)


@contextlib.contextmanager
def _listener(host: str, port: int, fd: int | None, uds: str | None) -> Iterator[socket.socket]:
    if fd is not None:
        with socket.socket(fileno=os.dup(fd)) as listener:
            yield listener
    elif uds is not None:
        with listening_at(uds) as listener:
            yield listener
    else:
        with listening_on(host, port) as listener:
            yield listener
