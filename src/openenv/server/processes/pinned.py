"""HTTP requests that belong to a session of another process are answered by that process.

This stands before the application. A request that is for another process goes there in one piece, and its answer
comes back in one, so neither side needs an HTTP connection to the other.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qs

import msgspec
from starlette.datastructures import Headers

from openenv.errors import MessageTooLargeError, RequestError, SessionLost
from openenv.server.connection import too_large
from openenv.server.origins import is_allowed
from openenv.server.processes.ledger import DIED
from openenv.server.processes.line import REQUEST, RESPONSE, Line
from openenv.server.processes.peers import Peers
from openenv.server.routes.http import error_response

SHARED = frozenset(("/reset", "/step", "/state", "/web/reset", "/web/step", "/web/state"))
"""The routes of the one session that all callers without a session id share."""

LIST = "/sessions"
MCP = "/mcp"
ANSWER_S = 5.0
"""Seconds another process has to list its sessions, for a list of all."""

_OF_A_SESSION = re.compile(r"/sessions/([^/]+)(?:/.*)?")

Scope = MutableMapping[str, Any]


class HttpRequest(msgspec.Struct, array_like=True):
    """A request on its way to another process; the fields are ASGI's."""

    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


class HttpResponse(msgspec.Struct, array_like=True):
    """Its answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Pinned:
    """An application in front of which requests are passed on to the process that has their session.

    Args:
        app: The application.
        peers: The other processes.
        max_size: Bytes of the largest body that is passed on.
    """

    def __init__(self, app: Any, peers: Peers, max_size: int) -> None:
        self.app = app
        self._peers = peers
        self._max_size = max_size

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve a request here or elsewhere."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"] == LIST and scope["method"] == "GET":
            await _respond(send, await self._list(scope))
        elif scope["path"] == MCP:
            await self._mcp(scope, receive, send)
        elif (number := self._owner(scope["path"])) is None:
            await self.app(scope, receive, send)
        else:
            await self._pass_on(number, scope, receive, send)

    def _owner(self, path: str) -> int | None:
        if path in SHARED:
            return self._home()
        found = _OF_A_SESSION.fullmatch(path)
        return self._elsewhere(found[1]) if found else None

    async def _mcp(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve a message of an MCP client, whose session is named in a header, the query or the message."""
        if scope["method"] == "GET":
            # A stream can not be passed on: a client that is told so goes on without.
            named = _named_by_header(scope)
            elsewhere = named is not None and self._elsewhere(named) is not None
            await (_respond(send, HttpResponse(405, [], b"")) if elsewhere else self.app(scope, receive, send))
            return
        try:
            body = await self._body(scope, receive)
        except RequestError as error:
            await _respond(send, _refusal(error))
            return
        if not is_allowed(Headers(scope=scope), scope):  # where the client is it can be told, and only there
            await self.app(scope, _again(body, receive), send)
            return
        named = _named_by_header(scope) or _named_by_query(scope)
        number = self._elsewhere(named) if named is not None else self._owner_of_call(body)
        if number is None:
            await self.app(scope, _again(body, receive), send)
        else:
            await self._pass_on(number, scope, _again(body, receive), send)

    def _owner_of_call(self, body: bytes) -> int | None:
        """Return which process has the session of a call without `initialize`; None if it is this one."""
        try:
            message = msgspec.json.decode(body)
        except (ValueError, RecursionError):  # the application says what is wrong with it
            return None
        params = message.get("params") if isinstance(message, dict) else None
        if isinstance(params, dict) and "session_id" in params:
            return self._elsewhere(str(params["session_id"]))
        opens = not isinstance(message, dict) or message.get("method") in ("initialize", "openenv/session/create")
        return None if opens else self._home()

    def _elsewhere(self, session_id: str) -> int | None:
        try:
            return self._peers.slots.elsewhere(session_id)
        except SessionLost:
            return None  # the session manager here says so too

    def _home(self) -> int | None:
        home = self._peers.slots.home()
        return home if home != self._peers.slots.number else None

    async def _pass_on(self, number: int, scope: Scope, receive: Any, send: Any) -> None:
        try:
            request = _request(scope, await self._body(scope, receive))
            response = await ask(self._peers, number, request)
        except RequestError as error:
            response = _refusal(error)
        await _respond(send, response)

    async def _list(self, scope: Scope) -> HttpResponse:
        """Return the sessions of all processes; one that does not answer is left out."""
        request = _request(scope, b"")
        own = await answered(self.app, request, scope)
        if own.status != 200:
            return own
        asking = (
            asyncio.wait_for(ask(self._peers, number, request), ANSWER_S) for number in self._peers.slots.others()
        )
        found = json.loads(own.body)
        for other in await asyncio.gather(*asking, return_exceptions=True):
            if isinstance(other, HttpResponse) and other.status == 200:
                found += json.loads(other.body)
        return HttpResponse(200, [(b"content-type", b"application/json")], json.dumps(found).encode())

    async def _body(self, scope: Scope, receive: Any) -> bytes:
        declared = dict(scope["headers"]).get(b"content-length", b"")
        if declared.isdigit():
            self._check(int(declared))
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            self._check(len(body))
            if not message.get("more_body"):
                return bytes(body)

    def _check(self, size: int) -> None:
        if size > self._max_size:
            raise too_large(size, self._max_size, "message")


def _named_by_header(scope: Scope) -> str | None:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"mcp-session-id"), None)


def _named_by_query(scope: Scope) -> str | None:
    return next(iter(parse_qs(scope["query_string"].decode("latin-1")).get("session_id", ())), None)


def _again(body: bytes, receive: Any) -> Any:
    """Return what gives an application the body that has been read already, and then what comes after it.

    An answer that is a stream waits for its client to go, and so for what comes after.
    """
    given = False

    async def received() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return received


async def _never() -> None:
    """Wait for the end of a client whose answer is on its way to it in one piece."""
    await asyncio.get_running_loop().create_future()


def _refusal(error: RequestError) -> HttpResponse:
    refused = error_response(error)
    return HttpResponse(refused.status_code, refused.raw_headers, bytes(refused.body))


async def ask(peers: Peers, number: int, request: HttpRequest) -> HttpResponse:
    """Return another process's answer to a request.

    Raises:
        SessionLost: That process is gone.
        MessageTooLargeError: It does not take so much.
    """
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def received(kind: bytes, content: bytes) -> None:
        if kind == RESPONSE and not answer.done():
            answer.set_result(content)

    def lost() -> None:
        if not answer.done():
            answer.set_exception(SessionLost(DIED))

    line = peers.line(number, received, lost)
    try:
        if not line.send(REQUEST, msgspec.msgpack.encode(request)):  # pragma: no cover - a new line takes it
            raise MessageTooLargeError("The request does not fit")
        return msgspec.msgpack.decode(await answer, type=HttpResponse)
    finally:
        line.close()


async def answer_on(line: Line, app: Any, content: bytes, state: Any) -> None:
    """Answer a request that another process has passed on."""
    request = msgspec.msgpack.decode(content, type=HttpRequest)
    response = await answered(app, request, {"state": state})
    line.send(RESPONSE, msgspec.msgpack.encode(response))
    line.close()


async def answered(app: Any, request: HttpRequest, scope: Scope) -> HttpResponse:
    """Return what an application answers.

    Args:
        app: The application.
        request: What it is asked.
        scope: Where to take what a request does not say.
    """
    response = HttpResponse(500, [], b"")
    body = bytearray()

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            response.status = message["status"]
            response.headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", [])]
        elif message["type"] == "http.response.body":
            body.extend(message.get("body", b""))

    own = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "server": None,
        "client": None,
        "root_path": "",
        **scope,
        "method": request.method,
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": request.query,
        "headers": request.headers,
    }
    await app(own, _again(request.body, _never), send)
    response.body = bytes(body)
    return response


def _request(scope: Scope, body: bytes) -> HttpRequest:
    headers = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
    return HttpRequest(scope["method"], scope["path"], scope["query_string"], headers, body)


async def _respond(send: Any, response: HttpResponse) -> None:
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    await send({"type": "http.response.body", "body": response.body})
