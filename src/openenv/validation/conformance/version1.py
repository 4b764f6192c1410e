"""Checks of version 1: a WebSocket that is one session, answered in order."""

from __future__ import annotations

from typing import Any

from openenv.validation.checks import CheckFailed, Checks, CheckSkipped
from openenv.validation.conformance.bad_frames import V1, BadFrame
from openenv.validation.conformance.dialects import V1Socket, open_v1, reset_v1
from openenv.validation.conformance.expectation import ABSENT, NUMBER, TEXT, expect, shown
from openenv.validation.conformance.raw import RawSocket
from openenv.validation.conformance.server import ServerUnderTest

__all__ = ["CHECKS", "too_large"]

CHECKS = Checks[ServerUnderTest]("v1")

MAX_SIZE_HEADER = "x-openenv-max-message-size"
NORMAL, TOO_LARGE = 1000, 1009

SMALL = 16 * 2**20
"""Bytes that may be sent to see what a server makes of too many."""

RESULT = {
    "observation": {"reward": ABSENT, "done": ABSENT},
    "reward": (*NUMBER, bool, None),
    "done": bool,
}


def step(server: ServerUnderTest) -> dict[str, Any]:
    """Return the frame of a legal step."""
    return {"type": "step", "data": server.action}


def episode(server: ServerUnderTest) -> V1Socket:
    """Open a connection and start an episode."""
    socket = open_v1(server)
    reset_v1(server, socket)
    return socket


def goes_on(socket: V1Socket) -> None:
    """Make sure that the session is still there, and that nothing else was said."""
    expect({"type": "state", "data": dict}, socket.ask({"type": "state"}), "in answer to a state request after it")


@CHECKS.check
def handshake(server: ServerUnderTest) -> None:
    """A client that offers no subprotocol is given none, and the server says nothing before it is asked."""
    socket = open_v1(server)
    if socket.subprotocol is not None:
        raise CheckFailed("no subprotocol", str(socket.subprotocol))
    reset_v1(server, socket)


@CHECKS.check
def unknown_subprotocol(server: ServerUnderTest) -> None:
    """A client that offers only a subprotocol that does not exist is answered in version 1."""
    socket = server.socket(V1Socket, "no.such.protocol")
    if socket.subprotocol is not None:
        raise CheckFailed("no subprotocol", str(socket.subprotocol))
    reset_v1(server, socket)


@CHECKS.check
def reset(server: ServerUnderTest) -> None:
    """A reset, with data or without, is answered with an observation; reward and done are beside it, not in it."""
    socket = open_v1(server)
    reset_v1(server, socket)
    for frame in ({"type": "reset", "data": {}}, {"type": "reset"}, {"type": "reset", "data": {"seed": 3}}):
        expected = {"type": "observation", "data": {**RESULT, "done": False}}
        expect(expected, socket.ask(frame), f"in answer to {frame}")


@CHECKS.check
def step_and_state(server: ServerUnderTest) -> None:
    """A step is answered with an observation, a state request with the state."""
    socket = episode(server)
    expect({"type": "observation", "data": RESULT}, socket.ask(step(server)), "in answer to a step")
    state = {"episode_id": (str, None), "step_count": int}
    expect({"type": "state", "data": state}, socket.ask({"type": "state"}), "in answer to a state request")


@CHECKS.check
def step_before_reset(server: ServerUnderTest) -> None:
    """A step before the first reset is refused with NOT_RESET, and a reset still works.

    Skip it where the environment says that it may be stepped without a reset.
    """
    socket = open_v1(server)
    refused = socket.ask(step(server))
    server.need_room(refused.get("data"), 1)
    expect({"type": "error", "data": {"code": "NOT_RESET", "message": TEXT}}, refused, "before the first reset")
    reset_v1(server, socket)


@CHECKS.check
def bad_action(server: ServerUnderTest) -> None:
    """An action that does not validate is refused with the fields at fault; nothing is executed."""
    socket = episode(server)
    before = socket.ask({"type": "state"})
    refused = socket.ask({"type": "step", "data": server.bad_action})
    errors = {"code": "VALIDATION_ERROR", "message": TEXT, "errors": list}
    expect({"type": "error", "data": errors}, refused, "in answer to a bad action")
    count = before.get("data", {}).get("step_count")
    after = socket.ask({"type": "state"})
    expect({"type": "state", "data": {"step_count": count}}, after, "in answer to a state request after it")


@CHECKS.each(V1)
def bad_frame(server: ServerUnderTest, bad: BadFrame) -> None:
    """A frame that is no request is answered with one error, and the session goes on."""
    socket = episode(server)
    socket.send(bad.frame)
    answer = socket.receive_json("an error")
    pattern = {"type": "error", "data": {"code": bad.codes, "message": TEXT}}
    try:
        goes_on(socket)
    except CheckFailed as failed:
        raise CheckFailed(
            f"{shown(pattern)}, and that the session goes on", f"{shown(answer)}, then {failed.got}"
        ) from failed
    expect(pattern, answer)


@CHECKS.check
def in_order(server: ServerUnderTest) -> None:
    """Requests that are sent at once are answered in their order, those that are refused in their turn."""
    socket = episode(server)
    for frame in ({"type": "state"}, {"type": "reset"}, {"type": "nope"}, step(server), {"type": "state"}):
        socket.send_json(frame)
    kinds = [socket.receive_json().get("type") for _ in range(5)]
    expect(["state", "observation", "error", "observation", "state"], kinds, "as the types of five answers")


@CHECKS.check
def sessions_apart(server: ServerUnderTest) -> None:
    """Two connections are two sessions: a step in one does not show in the other."""
    one, other = episode(server), open_v1(server)
    reset_v1(server, other, sessions=2)
    before = one.ask({"type": "state"}).get("data", {})
    expect({"type": "observation"}, other.ask(step(server)), "in answer to a step in the other session")
    same = {"episode_id": before.get("episode_id"), "step_count": before.get("step_count")}
    expect({"type": "state", "data": same}, one.ask({"type": "state"}), "in answer to a state request of the first")


@CHECKS.check
def tools(server: ServerUnderTest) -> None:
    """An mcp frame is answered with a JSON-RPC answer of the same id."""
    socket = episode(server)
    request = {"jsonrpc": "2.0", "id": 41, "method": "tools/list", "params": {}}
    answer = socket.ask({"type": "mcp", "data": request})
    expect({"type": "mcp", "data": {"jsonrpc": "2.0", "id": 41}}, answer, "in answer to an mcp frame")


@CHECKS.check
def fragments(server: ServerUnderTest) -> None:
    """A message that comes in fragments is one message."""
    socket = episode(server)
    socket.send(['{"type"', ":", '"state"}'])
    expect({"type": "state"}, socket.receive_json(), "in answer to a state request in three fragments")


@CHECKS.check
def close(server: ServerUnderTest) -> None:
    """A close frame ends the session: the server closes with 1000 and says nothing more."""
    socket = episode(server)
    socket.send_json({"type": "close"})
    expect(NORMAL, socket.close_code(), "as the close code")


@CHECKS.check
def size_limit(server: ServerUnderTest) -> None:
    """The handshake tells how large a message may be, and a larger one closes the connection with 1009."""
    too_large(episode(server))


def too_large(socket: RawSocket) -> int:
    """Send more than the limit, see the server close, and return the limit."""
    told = socket.header(MAX_SIZE_HEADER) or ""
    if not told.isdigit():
        raise CheckFailed(f"the header {MAX_SIZE_HEADER}, in bytes", told or "no such header")
    limit = int(told)
    socket.announce(limit + 1)  # many servers judge by the header of a frame
    try:
        code = socket.close_code(wait_s=None if limit > SMALL else 1.0)
    except CheckFailed:
        if limit > SMALL:
            socket.drop()
            raise CheckSkipped(f"the limit of {limit:,} bytes is too much to send to this server") from None
        socket.more(limit)
        code = socket.close_code()
    expect(TOO_LARGE, code, "as the close code of a message over the limit")
    return limit
