"""Episodes over plain HTTP: the old routes on one default session, and sessions by id.

Bodies are validated by the environment's own codec rather than by FastAPI, so that a message means the same
and fails the same on every way in; their schemas are attached to the OpenAPI document by hand.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from openenv.errors import RequestError
from openenv.protocol import encoding, schemas
from openenv.protocol import messages as m
from openenv.server.config import ServerContext
from openenv.server.connection import too_large
from openenv.server.dispatch import ask
from openenv.server.host import Reply
from openenv.server.sessions import Session

STATUS = {
    "VALIDATION_ERROR": 422,
    "INVALID_JSON": 422,
    "UNKNOWN_TYPE": 422,
    "NOT_RESET": 409,
    "EPISODE_ENDED": 409,
    "SESSION_NOT_FOUND": 404,
    "SESSION_LOST": 410,
    "MESSAGE_TOO_LARGE": 413,
    "CAPACITY_REACHED": 503,
    "BUDGET_EXCEEDED": 504,
}
"""HTTP status of each error code; any other is 500."""


def error_response(error: RequestError) -> Response:
    """Return the HTTP form of an error: the same keys as on the WebSocket, and FastAPI's `detail`."""
    wire_error = error.to_wire()
    body = {"detail": error.errors or error.message, **wire_error}
    headers = {"Retry-After": f"{max(1, round(error.retry_after))}"} if error.retry_after else None
    return _json(encoding.to_lenient_json(body), STATUS.get(error.code, 500), headers)


def _json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status_code=status, media_type="application/json", headers=headers)


def routers(context: ServerContext) -> list[APIRouter]:
    """Return the routes of the default session and those of sessions by id."""
    calls = Calls(context)
    return [_default_routes(calls), _session_routes(calls)]


class Calls:
    """What the routes do, whichever session they mean.

    Args:
        context: The server.
    """

    def __init__(self, context: ServerContext) -> None:
        self.context = context
        self.manager = context.manager

    async def reset(self, session: Session, request: Request) -> Response:
        """Start an episode."""
        raw = await self.body(request) or b"{}"
        return self.answer(await ask(session, self.context.codec.decode_reset(raw)))

    async def step(self, session: Session, request: Request) -> Response:
        """Take a step."""
        raw = await self.body(request)
        return self.answer(await ask(session, self.context.codec.decode_step(raw)))

    async def state(self, session: Session) -> Response:
        """Read the state."""
        return self.answer(await ask(session, m.WSStateMessage()))

    def answer(self, reply: Reply) -> Response:
        """Return the HTTP form of an answer."""
        if reply.error is not None:
            return error_response(reply.error)
        if len(reply.data) > self.context.max_message_size:
            return error_response(too_large(len(reply.data), self.context.max_message_size, "answer"))
        return _json(reply.data)

    async def body(self, request: Request) -> bytes:
        """Read the body of a request."""
        return await read_body(request, self.context.max_message_size)


async def read_body(request: Request, limit: int) -> bytes:
    """Read the body of a request, but never more of it than the limit, in bytes.

    Raises:
        MessageTooLargeError: There is more.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_large(int(declared), limit, "message")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large(len(body), limit, "message")
    return bytes(body)


def _default_routes(calls: Calls) -> APIRouter:
    routes = APIRouter(tags=["environment"])
    context = calls.context

    @routes.post("/reset", **_documents(context, m.ResetRequest, "reset"))
    async def reset(request: Request) -> Response:
        """Start an episode in the session that all callers without a session id share."""
        return await calls.reset(calls.manager.default(), request)

    @routes.post("/step", **_documents(context, m.StepRequest, "step"))
    async def step(request: Request) -> Response:
        """Take a step in the session that all callers without a session id share."""
        return await calls.step(calls.manager.default(), request)

    @routes.get("/state", **_documents(context, None, "state"))
    async def state() -> Response:
        """Read the state of the session that all callers without a session id share."""
        return await calls.state(calls.manager.default())

    return routes


def _session_routes(calls: Calls) -> APIRouter:
    routes = APIRouter(prefix="/sessions", tags=["sessions"])
    context = calls.context

    @routes.post("", status_code=201)
    async def create() -> m.SessionInfo:
        """Open a session of one's own. Close it with DELETE; it ends by itself after a while without use."""
        return calls.manager.open(attached=False).info()

    @routes.get("")
    async def listing() -> list[m.SessionListing]:
        """Say which sessions there are, of whoever they are, by names that give no right to use them."""
        return calls.manager.listing()

    @routes.get("/{session_id}")
    async def info(session_id: str) -> m.SessionInfo:
        """Say how a session stands."""
        return calls.manager.get(session_id).info()

    @routes.delete("/{session_id}", status_code=204)
    async def close(session_id: str) -> None:
        """End a session and its environment."""
        calls.manager.get(session_id).end()

    @routes.post("/{session_id}/reset", **_documents(context, m.ResetRequest, "reset"))
    async def reset(session_id: str, request: Request) -> Response:
        """Start an episode."""
        return await calls.reset(calls.manager.get_unattached(session_id), request)

    @routes.post("/{session_id}/step", **_documents(context, m.StepRequest, "step"))
    async def step(session_id: str, request: Request) -> Response:
        """Take a step."""
        return await calls.step(calls.manager.get_unattached(session_id), request)

    @routes.get("/{session_id}/state", **_documents(context, None, "state"))
    async def state(session_id: str) -> Response:
        """Read the state."""
        return await calls.state(calls.manager.get_unattached(session_id))

    return routes


def _documents(context: ServerContext, body: type[BaseModel] | None, verb: str) -> dict[str, Any]:
    """Return what a route says about itself in the OpenAPI document."""
    schema = context.schema
    answers = {"reset": schema.reset_observation, "step": schema.observation}
    answer = schemas.inline_schema(m.ResultData, observation=answers[verb]) if verb in answers else schema.state
    extra: dict[str, Any] = {
        "responses": {
            "200": {"description": "OK", "content": {"application/json": {"schema": answer}}},
            "422": {"description": "The message is not valid; nothing was executed"},
        }
    }
    if body is not None:
        described = (
            schemas.inline_schema(body, action=schema.action) if verb == "step" else schemas.inline_schema(body)
        )
        extra["requestBody"] = {
            "required": verb == "step",
            "content": {"application/json": {"schema": described}},
        }
    return {"openapi_extra": extra, "response_class": Response}
