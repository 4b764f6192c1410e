"""The one door: what a message asks of a session.

Every way in, WebSocket, HTTP or another, makes a message of `protocol.messages` and hands it to `dispatch`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from openenv.errors import SerializationError
from openenv.protocol import messages as m
from openenv.protocol.encoding import to_lenient_json
from openenv.server.host import Reply
from openenv.server.requests import OnReply
from openenv.server.sessions import Session
from openenv.values import dumps, refuse_non_finite_tree


def dispatch(session: Session, message: Any, reply: OnReply) -> None:
    """Have the session do what the message asks; `reply` is called once with the answer.

    Args:
        session: Whose environment is meant.
        message: A frame or body of `protocol.messages`.
        reply: Called on the event loop, at once if the environment does not block.
    """
    match message:
        case m.WSStepMessage():
            session.step(reply, message.data)
        case m.WSResetMessage():
            _reset(session, message.data, reply)
        case m.StepRequest():
            session.step(reply, message.action, timeout_s=message.timeout_s, options=message.model_extra)
        case m.ResetRequest():
            _reset(session, message, reply)
        case m.WSStateMessage():
            session.state(reply)
        case m.WSMCPMessage():
            session.say(_tool_reply(message.data), reply)
        case _:
            raise AssertionError(f"no branch for {type(message).__name__}")


async def ask(session: Session, message: Any) -> Reply:
    """Do the same and wait for the answer."""
    future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def answered(reply: Reply) -> None:
        if not future.done():  # whoever waited may have been cancelled
            future.set_result(reply)

    dispatch(session, message, answered)
    return await future


def _reset(session: Session, data: m.ResetRequest, reply: OnReply) -> None:
    session.reset(reply, seed=data.seed, episode_id=data.episode_id, options=data.model_extra)


def _tool_reply(request: dict[str, Any]) -> Reply:
    answer = tool_answer(request)
    try:
        return Reply("mcp", dumps(answer))
    except SerializationError:  # an id that no client should send
        return Reply("mcp", to_lenient_json(answer))


def tool_answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON-RPC answer of an environment that has no tools."""
    error = {"code": -32603, "message": "Environment does not support MCP", "data": None}
    number = request.get("id")
    try:
        refuse_non_finite_tree(number)
    except SerializationError:  # 1e999 is JSON, but has no way back
        number = None
    return {"jsonrpc": "2.0", "id": number, "error": error}
