"""A port of this machine's loopback that leads to a pod, through the cluster's API.

Each connection is a WebSocket of its own to the pod of that name, whichever it is by then: when a pod is replaced,
the next connection reaches its successor. The protocol is Kubernetes' `v4.channel.k8s.io`: the first byte of a
message is its channel, 0 for data and 1 for what went wrong, and each channel begins with the port's number.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from openenv.errors import PortTakenError
from openenv.providers.kubernetes.access import ClusterAccess
from openenv.providers.kubernetes.api import path_of

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

__all__ = ["Forward"]

_logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
PROTOCOL = "v4.channel.k8s.io"
DATA, ERROR = 0, 1
BLOCK = 64 * 1024
OPEN_S = 10.0
# Keeps what lies between from closing a connection on which nothing is said for long.
PING_S = 30.0


class Forward:
    """Listens on a loopback port and forwards every connection to a pod.

    Args:
        access: The cluster.
        namespace: The pod's.
        pod: Its name.
        port: Its port.
    """

    def __init__(self, access: ClusterAccess, namespace: str, pod: str, port: int) -> None:
        self._access = access
        self._path = path_of("pods", namespace, pod, "portforward")
        self._pod = pod
        self._port = port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def listen(self, port: int = 0) -> str:
        """Begin to listen and return the base URL.

        Args:
            port: Port of this machine; 0 takes a free one.

        Raises:
            PortTakenError: Something else listens there.
        """
        try:
            self._server = await asyncio.start_server(self._accept, LOOPBACK, port)
        except OSError as error:
            raise PortTakenError(f"Port {port} of {LOOPBACK} cannot be used: {error}. Name another one.") from error
        return f"http://{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Stop listening and close all connections."""
        if self._server is not None:
            self._server.close()
        await asyncio.sleep(0)  # what was accepted a moment ago becomes known
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await asyncio.sleep(0)  # what was aborted is closed

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(reader, writer))
        self._connections.add(task)

        def ended(task: asyncio.Task[None]) -> None:  # also if it was cancelled before it began
            self._connections.discard(task)
            writer.transport.abort()

        task.add_done_callback(ended)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._forward(reader, writer)
        except (OSError, EOFError) as error:
            _logger.debug("A connection to %s ended: %s", self._pod, error)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from websockets.exceptions import WebSocketException

        try:
            remote = await self._dial()
            out = asyncio.create_task(_send(reader, remote))
            back = asyncio.create_task(self._receive(remote, writer))
            try:
                await asyncio.wait((out, back), return_when=asyncio.FIRST_COMPLETED)
            finally:
                out.cancel()
                back.cancel()
                # Without a good-bye: one side has gone, and nobody is to wait for the other.
                remote.transport.abort()
                await asyncio.gather(out, back, return_exceptions=True)
        except (WebSocketException, TimeoutError) as error:
            # The one who connected sees a closed connection, as if the server itself were away.
            _logger.debug("%s cannot be reached by the cluster's API: %s", self._pod, error)

    async def _dial(self) -> ClientConnection:
        from websockets.asyncio.client import connect
        from websockets.typing import Subprotocol

        header = await asyncio.to_thread(self._access.authorization)
        headers: Mapping[str, str] = {"Authorization": header} if header else {}
        server = self._access.server.replace("http", "ws", 1)
        return await connect(
            f"{server}{self._path}?ports={self._port}",
            subprotocols=[Subprotocol(PROTOCOL)],
            additional_headers=headers,
            ssl=self._access.tls,
            server_hostname=self._access.tls_name,
            proxy=self._access.proxy or True,
            compression=None,
            max_size=None,
            open_timeout=OPEN_S,
            ping_interval=PING_S,
            ping_timeout=None,
        )

    async def _receive(self, remote: ClientConnection, writer: asyncio.StreamWriter) -> None:
        begun: set[int] = set()
        async for message in remote:
            assert isinstance(message, bytes)
            channel, content = message[0], message[1:]
            if channel not in begun:
                begun.add(channel)
                continue
            if channel == ERROR:
                raise ConnectionError(content.decode("utf-8", "replace"))
            writer.write(content)
            await writer.drain()


async def _send(reader: asyncio.StreamReader, remote: ClientConnection) -> None:
    with contextlib.suppress(ConnectionError):
        while block := await reader.read(BLOCK):
            await remote.send(bytes([DATA]) + block)
