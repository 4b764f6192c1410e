"""A connection is closed whatever becomes of the one who asked for it."""

import asyncio
import base64
import hashlib

import pytest
from tests.servers import BOUND_S

from openenv.client import GenericEnvClient
from openenv.client.socket import Socket

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class SlowServer:
    """Accepts one WebSocket when it is told to, and tells when the other side has closed it."""

    def __init__(self) -> None:
        self.asked, self.may_answer, self.closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> "SlowServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.may_answer.set()
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        headers = dict(line.split(b": ", 1) for line in request.split(b"\r\n")[1:-2])
        key = {name.lower(): value for name, value in headers.items()}[b"sec-websocket-key"]
        self.asked.set()
        await self.may_answer.wait()
        accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(b"Sec-WebSocket-Protocol: openenv.v2\r\nSec-WebSocket-Accept: %s\r\n\r\n" % accept)
        try:
            while await reader.read(1024):
                pass
        except ConnectionResetError:
            pass
        self.closed.set()
        writer.close()


async def test_one_that_is_cancelled_while_it_connects_leaves_no_connection():
    async with SlowServer() as server:
        connecting = asyncio.ensure_future(GenericEnvClient(server.url).connect())
        await server.asked.wait()
        connecting.cancel()
        asyncio.get_running_loop().call_soon(server.may_answer.set)
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await asyncio.wait_for(server.closed.wait(), BOUND_S)


async def test_one_that_is_cancelled_while_it_connects_need_not_wait_for_a_silent_server(monkeypatch):
    monkeypatch.setattr("openenv.client.socket.CLOSE_WAIT_S", 0.0)
    async with SlowServer() as server:
        connecting = asyncio.ensure_future(GenericEnvClient(server.url).connect())
        await server.asked.wait()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert not server.may_answer.is_set()
        server.may_answer.set()
        await asyncio.wait_for(server.closed.wait(), BOUND_S)


async def test_one_that_is_cancelled_while_it_closes_leaves_no_connection():
    async with SlowServer() as server:
        server.may_answer.set()
        socket = await Socket.open(
            server.url.replace("http", "ws"),
            received=lambda _raw: None,
            lost=lambda _code, _reason: None,
            headers={"Sec-WebSocket-Protocol": "openenv.v2"},
            max_size=1024,
            budget_s=BOUND_S,
            ping_interval_s=None,
            ping_timeout_s=None,
            proxy=None,
        )
        closing = asyncio.ensure_future(socket.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await asyncio.wait_for(server.closed.wait(), BOUND_S)
