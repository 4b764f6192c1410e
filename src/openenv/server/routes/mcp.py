"""`/mcp`: streamable HTTP for MCP clients, a WebSocket for the same messages, the old calls without `initialize`.

The answer to a POST is JSON; it is a stream of events where its sender wants to hear of progress. What is told
without being asked goes out on the stream that GET opens.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse

from openenv.errors import RequestError
from openenv.mcp.types import JsonRpcErrorCode
from openenv.server.config import ServerContext
from openenv.server.connection import SERVER_STOPS, too_large
from openenv.server.mcp.door import Door
from openenv.server.mcp.peer import Peer
from openenv.server.mcp.rpc import (
    REVISIONS,
    UNSUPPORTED_REVISION,
    Message,
    RpcError,
    number_of,
    read,
    refusal,
    written,
)
from openenv.server.origins import is_allowed
from openenv.server.routes.http import STATUS, read_body

PATH = "/mcp"
SESSION = "mcp-session-id"
REVISION = "mcp-protocol-version"

HEARTBEAT_S = 15.0
"""Seconds after which a stream on which nothing is told says that it is alive; so does its session."""

MOST_UNSENT = 16
"""Messages that wait for a client to read what came before them, upon which it is not listened to."""

MOST_AT_ONCE = 100
"""Messages in one body, which clients of revision 2025-03-26 may send."""


def router(context: ServerContext) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["mcp"])
    endpoint = _Endpoint(context)

    @routes.post(PATH, response_class=Response)
    async def post(request: Request) -> Response:
        """Answer a message of an MCP client, or a JSON-RPC call of tools/list or tools/call without a session."""
        return await endpoint.guarded(request, endpoint.post)

    @routes.get(PATH, response_class=Response)
    async def get(request: Request) -> Response:
        """Open the stream on which an MCP client is told what it has not asked for."""
        return await endpoint.guarded(request, endpoint.get)

    @routes.delete(PATH, response_class=Response)
    async def delete(request: Request) -> Response:
        """End the session of an MCP client."""
        return await endpoint.guarded(request, endpoint.delete)

    @routes.websocket(PATH)
    async def ws(websocket: WebSocket) -> None:
        await endpoint.websocket(websocket)

    return routes


class _Refused(Exception):
    """A request that is answered by an HTTP status and a JSON-RPC error."""

    def __init__(self, status: int, error: RpcError | RequestError, number: Any = None) -> None:
        super().__init__(str(error))
        self.status = status
        self.error = RpcError.of(error) if isinstance(error, RequestError) else error
        self.number = number


class _Endpoint:
    """What the routes do."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._door = Door(context.manager)

    async def guarded(self, request: Request, serve: Any) -> Response:
        """Serve a request; whatever is wrong with it is answered as JSON-RPC has it."""
        try:
            _check_origin(request)
            response: Response = await serve(request)
            return response
        except _Refused as refused:
            return _json(refusal(refused.number, refused.error), refused.status)
        except RequestError as error:
            return _json(refusal(None, RpcError.of(error)), STATUS.get(error.code, 500))
        except RpcError as error:
            return _json(refusal(None, error), 400)

    # --- HTTP ------------------------------------------------------------------------------------

    async def post(self, request: Request) -> Response:
        _check_revision(request)
        message = read(await read_body(request, self._context.max_message_size))
        if request.headers.get(SESSION) is None and not _initializes(message):
            return self._sized(await self._plainly(message))
        peer, headers = self._peer(request, message)
        if isinstance(message, dict) and _wants_progress(message) and _takes_events(request):
            return StreamingResponse(self._events(peer, message), media_type="text/event-stream", headers=headers)
        answer = await self._answered(peer, message)
        if headers and peer.owns and not (isinstance(answer, dict) and "result" in answer):
            peer.session.end()  # nobody was let in who would end it
            headers = {}
        return self._sized(answer, headers)

    async def get(self, request: Request) -> Response:
        if request.headers.get(SESSION) is None or not _takes_events(request):
            return Response(status_code=405, headers={"Allow": "POST"})
        peer = self._found(request)
        return StreamingResponse(self._told(peer), media_type="text/event-stream")

    async def delete(self, request: Request) -> Response:
        if request.headers.get(SESSION) is None:
            return Response(status_code=405, headers={"Allow": "POST"})
        peer = self._found(request)
        if peer.owns:
            peer.session.end()
        return Response(status_code=204)

    def _peer(self, request: Request, message: Any) -> tuple[Peer, dict[str, str]]:
        """Return the client that sent a message, and what its answer's headers say."""
        if not _initializes(message):
            return self._found(request), {}
        lent = request.query_params.get("session_id")
        try:
            peer = self._door.open() if lent is None else self._door.borrow(lent, request.query_params.get("token"))
        except RequestError as error:
            raise _Refused(STATUS.get(error.code, 500), error, number_of(message)) from None
        return peer, {SESSION: peer.session.id}

    def _found(self, request: Request) -> Peer:
        try:
            return self._door.find(request.headers[SESSION])
        except RequestError as error:  # whatever it is, the client has to initialize again
            raise _Refused(404, error) from None

    async def _plainly(self, message: Any) -> Message | list[Message] | None:
        if isinstance(message, list):
            raise RpcError(JsonRpcErrorCode.INVALID_REQUEST, "A message is a JSON object")
        return await _answer_of(lambda send: self._door.plainly(message, send), message)

    async def _answered(self, peer: Peer, message: Any) -> Message | list[Message] | None:
        if not isinstance(message, list):
            return await _answer_of(lambda send: peer.received(message, send), message)
        if not 0 < len(message) <= MOST_AT_ONCE:
            raise RpcError(JsonRpcErrorCode.INVALID_REQUEST, f"A batch has 1 to {MOST_AT_ONCE} messages")
        answers = [await _answer_of(lambda send, one=one: peer.received(one, send), one) for one in message]
        return [answer for answer in answers if answer is not None] or None

    async def _events(self, peer: Peer, message: Message) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[tuple[bool, Message]] = asyncio.Queue()
        peer.received(
            message,
            lambda answer: queue.put_nowait((True, answer)),
            lambda told: queue.put_nowait((False, told)),
        )
        last = False
        while not last:
            last, told = await queue.get()
            yield _event(self._within_limit(told, message))

    async def _told(self, peer: Peer) -> AsyncIterator[bytes]:
        """Yield what a client is told, until it or its session goes; a newer stream takes over from this one."""
        queue: asyncio.Queue[Message | None] = asyncio.Queue()
        before, peer.stream = peer.stream, queue
        if before is not None:
            before.put_nowait(None)
        peer.listen(queue.put_nowait)
        try:
            while True:
                try:
                    told = await asyncio.wait_for(queue.get(), HEARTBEAT_S)
                except TimeoutError:
                    if peer.session.is_closed:
                        return
                    peer.session.touch()
                    yield b": alive\n\n"
                    continue
                if told is None:
                    return
                yield _event(written(told))
        finally:
            if peer.stream is queue:
                peer.stream = None
                peer.listen(None)

    def _sized(self, answer: Message | list[Message] | None, headers: dict[str, str] | None = None) -> Response:
        if answer is None:
            return Response(status_code=202, headers=headers)
        return Response(self._within_limit(answer, answer), media_type="application/json", headers=headers)

    def _within_limit(self, answer: Message | list[Message], asked: Any) -> bytes:
        raw = written(answer)
        limit = self._context.max_message_size
        if len(raw) <= limit:
            return raw
        return written(refusal(number_of(asked), RpcError.of(too_large(len(raw), limit, "answer"))))

    # --- WebSocket -------------------------------------------------------------------------------

    async def websocket(self, websocket: WebSocket) -> None:
        """Serve one client for the length of a connection, whose session ends with it."""
        if not is_allowed(websocket.headers, websocket.scope):
            await websocket.close(1008)
            return
        await websocket.accept()
        outbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        sent = asyncio.Event()
        writer = asyncio.create_task(_send_all(websocket, outbox, sent))
        peer: Peer | None = None
        try:
            while True:
                while outbox.qsize() >= MOST_UNSENT and not writer.done():  # who does not read is not listened to
                    sent.clear()
                    await sent.wait()
                raw = await websocket.receive_text()
                if len(raw) > self._context.max_message_size:
                    raise too_large(len(raw), self._context.max_message_size, "message")
                peer = peer or self._connected(websocket, outbox)
                self._received(peer, raw, outbox)
        except (WebSocketDisconnect, KeyError):  # KeyError: a binary frame
            pass
        except RequestError as error:
            outbox.put_nowait(written(refusal(None, RpcError.of(error))))
        finally:
            if peer is not None:
                peer.listen(None)
                if peer.owns:
                    peer.session.end()
            outbox.put_nowait(None)
            await asyncio.gather(writer, return_exceptions=True)

    def _connected(self, websocket: WebSocket, outbox: asyncio.Queue[bytes | None]) -> Peer:
        lent = websocket.query_params.get("session_id")
        peer = (
            self._door.open(lambda _reason: outbox.put_nowait(None))
            if lent is None
            else self._door.borrow(lent, websocket.query_params.get("token"))
        )
        peer.listen(lambda told: outbox.put_nowait(written(told)))
        return peer

    def _received(self, peer: Peer, raw: str, outbox: asyncio.Queue[bytes | None]) -> None:
        try:
            message = read(raw)
        except RpcError as error:
            outbox.put_nowait(written(refusal(None, error)))
            return

        def send(answer: Message) -> None:
            outbox.put_nowait(self._within_limit(answer, answer))

        if isinstance(message, dict) and _is_plain(message):
            self._door.plainly(message, send, peer.session)
        else:
            peer.received(message, send)


async def _send_all(websocket: WebSocket, outbox: asyncio.Queue[bytes | None], sent: asyncio.Event) -> None:
    try:
        while (raw := await outbox.get()) is not None:
            await websocket.send_text(raw.decode())
            sent.set()
        await websocket.close(SERVER_STOPS)
    finally:
        sent.set()


async def _answer_of(ask: Any, message: Any) -> Message | None:
    """Return the answer to a message; None if it gets none."""
    answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    def send(told: Message) -> None:
        if not answer.done():
            answer.set_result(told)

    ask(send)
    is_request = not isinstance(message, dict) or ("id" in message and "method" in message)
    return await answer if is_request or answer.done() else None


def _initializes(message: Any) -> bool:
    params = message.get("params") if isinstance(message, dict) else None
    asked = isinstance(params, dict) and "protocolVersion" in params
    return asked and message.get("method") == "initialize"


def _is_plain(message: Message) -> bool:
    """Return whether a message is of the old way of calling, and names a session."""
    params = message.get("params")
    return str(message.get("method")).startswith("openenv/") or (
        isinstance(params, dict) and "session_id" in params
    )


def _wants_progress(message: Message) -> bool:
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    return isinstance(meta, dict) and "progressToken" in meta and "id" in message and "method" in message


def _takes_events(request: Request) -> bool:
    return "text/event-stream" in request.headers.get("accept", "")


def _check_revision(request: Request) -> None:
    asked = request.headers.get(REVISION)
    if asked is not None and asked not in REVISIONS:
        data = {"supported": list(REVISIONS), "requested": asked}
        raise _Refused(400, RpcError(UNSUPPORTED_REVISION, f"Unsupported protocol version: {asked}", data))


def _check_origin(request: Request) -> None:
    if not is_allowed(request.headers, request.scope):
        error = RpcError(JsonRpcErrorCode.INVALID_REQUEST, "Pages of other sites may not use this server")
        raise _Refused(403, error)


def _event(raw: bytes) -> bytes:
    return b"event: message\ndata: " + raw + b"\n\n"


def _json(message: Message, status: int) -> Response:
    return Response(written(message), status, media_type="application/json")
