"""Real uvicorn servers inside the test process, each on a loopback port of its own.

One thread with one event loop runs all of them, so starting one costs milliseconds. They are set up by the same
options as `openenv serve`.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import uvicorn

from openenv.server.app import create_app
from openenv.server.serving import OrderlyServer, wire_options

BOUND_S = 10.0
"""Seconds after which a wait that should be short counts as failed."""


def wait_until(condition: Callable[[], Any], within_s: float = BOUND_S) -> bool:
    """Return whether something comes true."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


class _Uvicorn(OrderlyServer):
    """Ends at once when told to, instead of looking every tenth of a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()
        self.told_to_end = asyncio.Event()

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.told_to_end.wait()


class Server:
    """One running server.

    Attributes:
        url: Its address.
        app: Its application.
        manager: The sessions of the application, if `create_app` made it.
    """

    def __init__(self, host: "Host", app: Any, port: int = 0, path: Path | None = None, **options: Any) -> None:
        self.app = app
        self._host = host
        if path is None:
            self._socket = socket.socket()
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # for one that takes another's place
            self._socket.bind(("127.0.0.1", port))
            self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        else:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.bind(str(path))
            self.url = f"unix://{path}"
        config = uvicorn.Config(app, log_config=None, access_log=False, **{**wire_options(), **options})
        self._uvicorn = _Uvicorn(config)
        self._ended = host.spawn(self._uvicorn.serve([self._socket]))
        if not self._uvicorn.is_up.wait(BOUND_S):
            raise TimeoutError("the server did not start")

    @property
    def manager(self) -> Any:
        return self.app.state.openenv.manager

    def on_loop(self, function: Any) -> Any:
        """Call a function on the server's event loop and return what it returns."""

        async def call() -> Any:
            return function()

        return self._host.spawn(call()).result(BOUND_S)

    def cut(self) -> None:
        """Drop every connection without a word, as a killed server or a broken network does."""

        def abort() -> None:
            for connection in list(self._uvicorn.server_state.connections):
                transport = connection.transport
                getattr(transport, "underlying_transport", transport).abort()  # picows wraps the socket's own

        self.on_loop(abort)

    def vanish(self) -> None:
        """Listen no longer and drop every connection, as if it were killed; its port is free again."""

        async def close() -> None:
            for server in self._uvicorn.servers:
                server.close()
                await server.wait_closed()

        self._host.spawn(close())
        self.cut()
        while self._socket.fileno() >= 0:
            time.sleep(0.001)

    def stop(self, wait: bool = True) -> None:
        """End the server as on SIGTERM."""
        self._host.loop.call_soon_threadsafe(self._uvicorn.told_to_end.set)
        if wait:
            self._ended.result(BOUND_S)


class Host:
    """The thread all servers of a test session run in."""

    def __init__(self) -> None:
        self.loop = uvicorn.Config(None, log_config=None).get_loop_factory()()
        self._thread = threading.Thread(target=self._run, name="test-servers", daemon=True)
        self._thread.start()
        self._servers: list[Server] = []
        self._shared: dict[Any, Server] = {}

    def serve(self, env: Any, **options: Any) -> Server:
        """Start a server of an environment; the options are those of `create_app`."""
        return self.run(create_app(env, **options))

    def run(self, app: Any, **options: Any) -> Server:
        """Start a server of an application; the options are `port`, `path` of a socket, and those of uvicorn."""
        server = Server(self, app, **options)
        self._servers.append(server)
        return server

    def shared(self, env: Any) -> Server:
        """Return the one server of an environment class that all tests use."""
        if env not in self._shared:
            self._shared[env] = self.serve(env)
        return self._shared[env]

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def close(self) -> None:
        for server in self._servers:
            server.stop(wait=False)
        for server in self._servers:
            with contextlib.suppress(asyncio.CancelledError):
                server.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(BOUND_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
