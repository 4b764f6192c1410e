"""Checks of version 2 in MessagePack; a server that does not speak it is not at fault."""

from __future__ import annotations

from openenv.protocol.v2 import SUBPROTOCOL_MSGPACK
from openenv.validation.checks import Checks
from openenv.validation.conformance.bad_frames import V2_MSGPACK, BadFrame
from openenv.validation.conformance.dialects import open_sessions, open_v2
from openenv.validation.conformance.expectation import expect
from openenv.validation.conformance.server import ServerUnderTest
from openenv.validation.conformance.version1 import RESULT
from openenv.validation.conformance.version2 import error

__all__ = ["CHECKS"]

CHECKS = Checks[ServerUnderTest]("msgpack")


@CHECKS.check
def episode(server: ServerUnderTest) -> None:
    """The subprotocol openenv.v2.msgpack is the same frames in binary: a reset, a step, the state."""
    (session,) = open_sessions(server, open_v2(server, SUBPROTOCOL_MSGPACK))
    expect({"data": RESULT}, session.reset(), "in answer to a reset")
    expect({"data": RESULT}, session.step(), "in answer to a step")
    expect({"step_count": int}, session.state(), "as the state")


@CHECKS.check
def resume(server: ServerUnderTest) -> None:
    """A session whose connection was cut is resumed on another that speaks MessagePack too."""
    (session,) = open_sessions(server, open_v2(server, SUBPROTOCOL_MSGPACK))
    session.reset()
    session.socket.drop()
    session.socket = open_v2(server, SUBPROTOCOL_MSGPACK)
    session.socket.needs("resume")
    answer = session.socket.ask("resume", session=session.id, token=session.token)
    expect({"type": "resumed", "seq": 1}, answer, "in answer to resume")
    session.step()


@CHECKS.check
def not_a_number(server: ServerUnderTest) -> None:
    """NaN and infinity are refused as they are in JSON, although MessagePack has words for them."""
    (session,) = open_sessions(server, open_v2(server, SUBPROTOCOL_MSGPACK))
    session.reset()
    for value in (float("nan"), float("inf")):
        refused = session.ask("reset", data={"metadata": [value]})
        expect(
            error(frozenset(("INVALID_JSON", "VALIDATION_ERROR"))), refused, f"in answer to a reset with {value}"
        )
    session.go_on()


@CHECKS.each(V2_MSGPACK)
def bad_frame(server: ServerUnderTest, bad: BadFrame) -> None:
    """A frame that is no request is answered with one error, by its id if that can be read; the session goes on."""
    socket = open_v2(server, SUBPROTOCOL_MSGPACK)
    (session,) = open_sessions(server, socket)
    session.reset()
    socket.send(bad.frame)
    expect(error(bad.codes, id=bad.id), socket.frame("an error"))
    session.go_on()
    socket.nothing_more()
