"""`/ws`: wire version 1 under any ASGI server."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from openenv.server.config import ServerContext
from openenv.server.connection import Connection, binary_frame, too_large

PATH = "/ws"
MAX_SIZE_HEADER = "x-openenv-max-message-size"


def router(context: ServerContext) -> APIRouter:
    """Return the route, serving the given sessions."""
    routes = APIRouter()

    @routes.websocket(PATH)
    async def ws(websocket: WebSocket, session_id: str | None = None) -> None:
        limit = str(context.max_message_size).encode()
        await websocket.accept(headers=[(MAX_SIZE_HEADER.encode(), limit)])
        await _Link(websocket, context, session_id).run()

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
        self._flushing = False
        self._close_code: int | None = None
        self._connection = Connection(
            context.manager,
            context.codec,
            self._send,
            self._close,
            max_size=context.max_message_size,
            session_id=session_id,
        )

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
            text = message.get("text")
            if text is None:
                connection.refused(binary_frame())
            elif len(text) > self._max_size:
                connection.refused(too_large(len(text), self._max_size, "message"))
            else:
                self._receiving = True
                connection.received(text)
                self._receiving = False
                if self._outbox:
                    await self._flush()

    async def _write(self) -> None:
        while self._close_code is None or self._outbox or self._flushing:  # what was said before closing goes out
            await self._wake.wait()
            self._wake.clear()
            await self._flush()
        with contextlib.suppress(*_CLIENT_IS_GONE):
            await self._websocket.close(self._close_code)

    async def _flush(self) -> None:
        if self._flushing:  # whoever is at it sends these as well
            return
        self._flushing = True
        try:
            while self._outbox:
                await self._websocket.send_text(self._outbox.popleft().decode())
        except _CLIENT_IS_GONE:
            self._outbox.clear()  # the reader is about to hear of it
        finally:
            self._flushing = False
            if self._close_code is not None:  # the writer waits for this to close
                self._wake.set()
