"""The one door: what a message asks of a session.

Every way in, WebSocket, HTTP or another, makes a message of `protocol.messages` and hands it to `dispatch`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from openenv.protocol import messages as m
from openenv.server.host import Reply
from openenv.server.mcp.rpc import written
from openenv.server.progress import Tell
from openenv.server.requests import OnReply
from openenv.server.sessions import Session


def dispatch(session: Session, message: Any, reply: OnReply, progress: Tell | None = None) -> None:
    """Have the session do what the message asks; `reply` is called once with the answer.

    Args:
        session: Whose environment is meant.
        message: A frame or body of `protocol.messages`.
        reply: Called on the event loop, at once if the environment does not block.
        progress: Told what the environment reports of a reset or step meanwhile.
    """
    match message:
        case m.WSStepMessage():
            session.step(reply, message.data, progress=progress)
        case m.WSResetMessage():
            _reset(session, message.data, reply, progress)
        case m.StepRequest():
            session.step(
                reply,
                message.action,
                timeout_s=message.timeout_s,
                options=message.model_extra,
                progress=progress,
            )
        case m.ResetRequest():
            _reset(session, message, reply, progress)
        case m.WSStateMessage():
            session.state(reply)
        case m.WSMCPMessage():
            _ask_peer(session, message.data, reply)
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


def _reset(session: Session, data: m.ResetRequest, reply: OnReply, progress: Tell | None) -> None:
    session.reset(reply, seed=data.seed, episode_id=data.episode_id, options=data.model_extra, progress=progress)


def _ask_peer(session: Session, request: dict[str, Any], reply: OnReply) -> None:
    """Answer a JSON-RPC request of the connection that holds the session, in the order of what that asks."""
    at_once, given = True, False

    def answered(answer: dict[str, Any]) -> None:
        nonlocal given
        if given:
            return
        given = True
        data = msgspec.msgpack.encode(answer) if session.format.binary else written(answer)
        known = Reply("mcp", data)
        if at_once:
            session.say(known, reply)
        else:
            reply(known)

    session.peer_of_holder().received(request, answered)
    if "id" not in request or "method" not in request:
        answered({})  # nothing need answer a notification, but something answers a frame, and once
    at_once = False
