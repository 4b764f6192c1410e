"""`/ws` under any ASGI server, in the version of the protocol that the client asks for."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from openenv.server.config import ServerContext
from openenv.server.connection import too_large, wrong_frame

PATH = "/ws"
MAX_SIZE_HEADER = "x-openenv-max-message-size"


def router(context: ServerContext) -> APIRouter:
    """Return the route, serving the given sessions."""
    routes = APIRouter()

    @routes.websocket(PATH)
    async def ws(websocket: WebSocket, session_id: str | None = None) -> None:
        limit = str(context.max_message_size).encode()
        link = _Link(websocket, context, session_id)
        await websocket.accept(link.subprotocol, headers=[(MAX_SIZE_HEADER.encode(), limit)])
        await link.run()

    return routes


# What sending raises then; starlette and the servers do not agree on one exception.
_CLIENT_IS_GONE = (WebSocketDisconnect, RuntimeError, OSError)


class _Link:
    """Carries frames between an ASGI WebSocket and a `Connection`, replies in order and many in one turn."""

    def __init__(self, websocket: WebSocket, context: ServerContext, session_id: str | None) -> None:
        self._websocket = websocket
        self._max_size = context.max_message_size
        self._outbox: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._receiving = False
        self._flushing = asyncio.Lock()
        self._close_code: int | None = None
        offered = websocket.scope.get("subprotocols", [])
        format_, self._connection = context.connection(offered, self._send, self._close, session_id=session_id)
        self.subprotocol = format_.subprotocol if format_ is not None else None
        self._binary = format_ is not None and format_.binary

    async def run(self) -> None:
        """Serve until either side closes."""
        reader = asyncio.create_task(self._read())
        writer = asyncio.create_task(self._write())
        try:
            self._connection.opened()
            done, _ = await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a defect of ours is to be seen in the server's log, not swallowed
        finally:
            self._connection.lost()
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)

    def _send(self, raw: bytes) -> None:
        self._outbox.append(raw)
        if not self._receiving:  # else the reader sends it itself, a turn of the loop sooner
            self._wake.set()

    def _close(self, code: int) -> None:
        self._close_code = code
        self._wake.set()

    async def _read(self) -> None:
        connection, receive = self._connection, self._websocket.receive
        while (message := await receive())["type"] == "websocket.receive":
            frame = message.get("bytes") if self._binary else message.get("text")
            if frame is None:
                connection.refused(wrong_frame(self._binary))
            elif len(frame) > self._max_size:
                connection.refused(too_large(len(frame), self._max_size, "message"))
            else:
                self._receiving = True
                connection.received(frame if self._binary else frame.encode())
                self._receiving = False
                if self._outbox:
                    await self._flush()

    async def _write(self) -> None:
        # What was said before closing goes out.
        while self._close_code is None or self._outbox or self._flushing.locked():
            await self._wake.wait()
            self._wake.clear()
            await self._flush()
        with contextlib.suppress(*_CLIENT_IS_GONE):
            await self._websocket.close(self._close_code)

    async def _flush(self) -> None:
        async with self._flushing:  # whoever comes meanwhile waits: a client that does not read is not listened to
            try:
                while self._outbox:
                    raw = self._outbox.popleft()
                    if self._binary:
                        await self._websocket.send_bytes(raw)
                    else:
                        await self._websocket.send_text(raw.decode())
            except _CLIENT_IS_GONE:
                self._outbox.clear()  # the reader is about to hear of it
        if self._close_code is not None:  # the writer waits for this to close
            self._wake.set()
