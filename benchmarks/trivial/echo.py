"""What a WebSocket alone can do, by the `websockets` library: `echo.py serve PORT` and `echo.py call PORT`.

The frames are those of a trivial step; nothing reads them.
"""

from __future__ import annotations

import asyncio
import sys
from http import HTTPStatus
from time import perf_counter

import orders
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

HOST = "127.0.0.1"
STEP = '{"type":"step","data":{"value":7}}'
OBSERVATION = '{"metadata":{},"value":7,"text":"step"}'
REPLY = '{"type":"observation","data":{"observation":' + OBSERVATION + ',"reward":1.0,"done":false}}'


async def answer(socket: ServerConnection) -> None:
    """Answer every frame with the same frame."""
    async for _ in socket:
        await socket.send(REPLY)


def healthy(socket: ServerConnection, request: Request) -> Response | None:
    """Answer `/health` without a WebSocket."""
    return socket.respond(HTTPStatus.OK, "ok\n") if request.path == "/health" else None


async def serve_on(port: int) -> None:
    """Serve until the process ends."""
    async with serve(answer, HOST, port, compression=None, process_request=healthy) as server:
        await server.serve_forever()


async def call(port: int) -> None:
    """Run rounds of sending a step and waiting for its reply."""
    async with connect(f"ws://{HOST}:{port}/ws", compression=None, proxy=None) as socket:
        orders.say("ready")
        while (seconds := await asyncio.to_thread(orders.read)) is not None:
            start = perf_counter()
            done = 0
            while perf_counter() < start + seconds:
                await socket.send(STEP)
                await socket.recv()
                done += 1
            orders.report(done, perf_counter() - start)


role, where = sys.argv[1:]
if role == "serve":
    orders.end_with_the_parent()
asyncio.run(serve_on(int(where)) if role == "serve" else call(int(where)))
