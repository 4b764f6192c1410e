"""A loopback port in front of a service that wants more in each request than a base URL can say.

Each connection carries one request, or one WebSocket: the head is rewritten, everything else is passed on as it is.
So nothing of HTTP but the head has to be understood. Whoever may connect to this machine's loopback may use it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Mapping
from urllib.parse import urlencode, urlsplit

__all__ = ["Relay"]

LOOPBACK = "127.0.0.1"
LONGEST_HEAD = 65536
CONNECT_S = 15.0
BLOCK = 65536
REFUSED = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
# Hop by hop, or told anew.
DROPPED = ("host", "authorization", "connection")


class Relay:
    """Listens on a free port of the loopback interface until it is closed.

    Args:
        url: Base URL of the service.
        query: What is added to each request's query.
        headers: Tells the headers that are added to a request; called for each, so tokens may be renewed.
    """

    def __init__(self, url: str, *, query: Mapping[str, str], headers: Callable[[], Mapping[str, str]]) -> None:
        self._target = urlsplit(url)
        self._query = query
        self._headers = headers
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="openenv-relay", daemon=True)
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(self._listen(), self._loop)
        self._server = starting.result(CONNECT_S)
        self.url = f"http://{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        """End the port and all connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(CONNECT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CONNECT_S)
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, LOOPBACK, 0, limit=LONGEST_HEAD)

    async def _end(self) -> None:
        self._server.close()
        await asyncio.sleep(0)  # what was accepted a moment ago becomes known
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # what was closed is gone

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                head = await reader.readuntil(b"\r\n\r\n")
                await self._pass_on(head, reader, writer)
        finally:
            await _close(writer)

    async def _pass_on(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            more = await asyncio.to_thread(self._headers)
            async with asyncio.timeout(CONNECT_S):
                from_service, to_service = await self._connect()
        except Exception:  # no token or no connection: to the client it is all the same
            writer.write(REFUSED)
            await writer.drain()
            return
        try:
            to_service.write(self._rewritten(head, more))
            upwards = asyncio.create_task(_copy(reader, to_service))
            try:
                await _copy(from_service, writer)  # the service decides when it is over
            finally:
                upwards.cancel()
                await asyncio.gather(upwards, return_exceptions=True)
        finally:
            await _close(to_service)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        secure = self._target.scheme == "https"
        port = self._target.port or (443 if secure else 80)
        context = ssl.create_default_context() if secure else None
        return await asyncio.open_connection(self._target.hostname, port, ssl=context)

    def _rewritten(self, head: bytes, more: Mapping[str, str]) -> bytes:
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        method, target, version = first.split(" ")
        joint = "&" if "?" in target else "?"
        target = f"{self._target.path.rstrip('/')}{target}{joint}{urlencode(self._query)}"
        names = [(line.partition(":")[0].strip().lower(), line) for line in lines]
        kept = [line for name, line in names if name not in DROPPED]
        upgrade = any(name == "upgrade" for name, _ in names)
        told = {"Host": self._target.netloc, "Connection": "Upgrade" if upgrade else "close", **more}
        rewritten = [f"{method} {target} {version}", *(f"{name}: {value}" for name, value in told.items()), *kept]
        return "\r\n".join([*rewritten, "", ""]).encode("latin-1")


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await source.read(BLOCK):
            sink.write(block)
            await sink.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
