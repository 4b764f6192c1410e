"""What the WebSocket library alone can do: `raw.py serve PORT` and `raw.py call PORT`.

picows on both ends, as in this project, with frames of the sizes of a trivial step over version 2. Nothing reads
them; but the caller awaits each answer, as a program does that steps an environment.
"""

from __future__ import annotations

import asyncio
import sys
from time import perf_counter

import orders
import uvloop
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_connect,
    ws_create_server,
)

HOST = "127.0.0.1"
SESSION = "00000000-0000-0000-0000-000000000000"
STEP = f'{{"id":12345,"type":"step","session":"{SESSION}","seq":12345,"data":{{"value":7}}}}'.encode()
DATA = '{"observation":{"metadata":{},"value":7,"text":"step"},"reward":1.0,"done":false}'
REPLY = f'{{"id":12345,"type":"observation","session":"{SESSION}","seq":12345,"data":{DATA}}}'.encode()


class Answering(WSListener):
    """Answers every frame with the same frame."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        else:
            frame.get_payload_as_bytes()
            transport.send(WSMsgType.TEXT, REPLY)


class Waiting(WSListener):
    """Gives the next frame to whoever waits for it."""

    answer: asyncio.Future[bytes]

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.answer.set_result(frame.get_payload_as_bytes())


def accept(request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
    """Take every WebSocket."""
    if request.path == b"/health":
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_ok_response(b"ok\n"), None)
    return Answering()


async def serve_on(port: int) -> None:
    """Serve until the process ends."""
    await (await ws_create_server(accept, HOST, port)).serve_forever()


async def call(port: int) -> None:
    """Run rounds of sending a step and waiting for its reply."""
    transport, listener = await ws_connect(Waiting, f"ws://{HOST}:{port}/ws")
    loop = asyncio.get_running_loop()
    orders.say("ready")
    while (seconds := await asyncio.to_thread(orders.read)) is not None:
        start = perf_counter()
        done = 0
        while perf_counter() < start + seconds:
            listener.answer = loop.create_future()
            transport.send(WSMsgType.TEXT, STEP)
            await listener.answer
            done += 1
        orders.report(done, perf_counter() - start)
    transport.disconnect()


role, where = sys.argv[1:]
if role == "serve":  # on the event loop that each end of this project has, too
    orders.end_with_the_parent()
    uvloop.run(serve_on(int(where)))
else:
    asyncio.run(call(int(where)))
