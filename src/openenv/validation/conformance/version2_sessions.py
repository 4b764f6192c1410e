"""Checks of version 2: sequence numbers, and sessions that outlive their connection."""

from __future__ import annotations

from collections.abc import Callable

from openenv.validation.checks import Checks, CheckSkipped
from openenv.validation.conformance.dialects import RemoteSession, V2Socket, open_sessions, open_v2
from openenv.validation.conformance.expectation import expect
from openenv.validation.conformance.server import ServerUnderTest
from openenv.validation.conformance.version2 import error

__all__ = ["CHECKS"]

CHECKS = Checks[ServerUnderTest]("v2")

SAME_NUMBER = "in answer to the same number again"

UNKNOWN = error("SESSION_NOT_FOUND")


def begun(server: ServerUnderTest) -> tuple[RemoteSession, Callable[[], int]]:
    """Open a session and take a step; return it, and a function that returns how many steps it was executed.

    Raises:
        CheckSkipped: The environment's state does not count steps.
    """
    (session,) = open_sessions(server, open_v2(server))
    session.reset()
    before = session.steps()
    session.step()
    after = session.steps()
    if before is None or after != before + 1:
        raise CheckSkipped("the environment's state has no step_count that counts steps, so nothing can be seen")
    return session, lambda: (session.steps() or 0) - before


def moved(session: RemoteSession, server: ServerUnderTest) -> dict[str, object]:
    """Resume a session on a new connection and return the answer."""
    session.socket = open_v2(server)
    session.socket.needs("resume")
    answer = session.socket.ask("resume", session=session.id, token=session.token)
    expect({"type": "resumed", "session": session.id, "seq": int, "phase": str}, answer, "in answer to resume")
    return answer


@CHECKS.check
def replay(server: ServerUnderTest) -> None:
    """The last number again is not executed; its answer is sent again."""
    session, executed = begun(server)
    first = session.go_on()
    count = executed()
    expect({"type": "observation", **session.address, "data": first["data"]}, session.again(), SAME_NUMBER)
    expect(count, executed(), "as the steps executed")
    session.go_on()


@CHECKS.check
def replay_of_a_refusal(server: ServerUnderTest) -> None:
    """A request that was refused has used its number up: the refusal is the answer to that number."""
    (session,) = open_sessions(server, open_v2(server))
    session.reset()
    refused = session.ask("step", data=server.bad_action)
    again = session.socket.ask("step", **session.address, data=server.action)
    expect({"type": "error", **session.address, "data": refused.get("data")}, again, SAME_NUMBER)
    session.go_on()


@CHECKS.check
def gap(server: ServerUnderTest) -> None:
    """A number that is neither the next nor the last one is refused with SEQUENCE_ERROR; nothing is executed."""
    session, executed = begun(server)
    session.go_on()
    count = executed()
    for seq in (session.seq + 2, session.seq + 1000, session.seq - 1, 1):
        refused = session.socket.ask("step", session=session.id, seq=seq, data=server.action)
        expect(error("SEQUENCE_ERROR"), refused, f"in answer to number {seq} after {session.seq}")
    expect(count, executed(), "as the steps executed")
    session.go_on()


@CHECKS.check
def resume(server: ServerUnderTest) -> None:
    """A session whose connection was cut is resumed where it stood, on another connection."""
    session, _ = begun(server)
    last = session.go_on()
    before = session.state()
    session.socket.drop()
    answer = moved(session, server)
    phase = "ended" if session.done else "running"
    expect({"seq": session.seq, "phase": phase, "episode_id": (str, None)}, answer, "in answer to resume")
    expect({"type": "observation", **session.address, "data": last["data"]}, session.again(), SAME_NUMBER)
    same = {"episode_id": before.get("episode_id"), "step_count": before.get("step_count")}
    expect(same, session.state(), "as the state after resume")
    session.go_on()


@CHECKS.check
def exactly_once(server: ServerUnderTest) -> None:
    """A step that was sent before the connection was cut, and is sent again after it, is executed once."""
    session, executed = begun(server)
    if session.done:
        session.reset()
    count = executed()
    session.send("step")
    session.socket.drop()
    moved(session, server)
    expect({"type": "observation", **session.address}, session.again(), "in answer to the step that was sent again")
    expect(count + 1, executed(), "as the steps executed")


@CHECKS.check
def taken_over(server: ServerUnderTest) -> None:
    """Whoever shows the token has the session; the connection that had it is told, and may do nothing more."""
    session, _ = begun(server)
    before = session.socket
    moved(session, server)
    ended = {"type": "ended", "session": session.id, "data": {"code": "SESSION_LOST"}}
    expect(ended, before.notice("ended"), "on the connection that had the session")
    session.go_on()
    refused = before.ask("step", session=session.id, seq=session.seq + 1, data=server.action)
    expect(UNKNOWN, refused, "in answer to a step on the connection that had the session")
    session.go_on()


@CHECKS.check
def forged_token(server: ServerUnderTest) -> None:
    """A wrong token is refused in the same words as an unknown session, and its owner notices nothing."""
    session, executed = begun(server)
    count = executed()
    thief = open_v2(server)
    thief.needs("resume")
    forged = {"", "x", session.token[:-1], session.token + "x", session.token.swapcase(), session.id, "\N{SNOWMAN}"}
    for token in forged - {session.token}:
        refused = thief.ask("resume", session=session.id, token=token)
        expect(UNKNOWN, refused, "in answer to resume with a wrong token")
    unknown = thief.ask("resume", session="no-such-session", token=session.token)
    expect(UNKNOWN, unknown, "in answer to resume of an unknown session")
    expect(count, executed(), "as the steps executed")
    session.go_on()


@CHECKS.check
def foreign_session(server: ServerUnderTest) -> None:
    """A connection can do nothing with a session that it does not hold, not even close it."""
    session, executed = begun(server)
    count = executed()
    thief: V2Socket = open_v2(server)
    next_one = {"session": session.id, "seq": session.seq + 1}
    expect(UNKNOWN, thief.ask("reset", **next_one), "in answer to a reset of somebody else's session")
    expect(UNKNOWN, thief.ask("step", **next_one, data=server.action), "in answer to a step of it")
    expect(UNKNOWN, thief.ask("state", session=session.id), "in answer to a state request of it")
    thief.ask("close", session=session.id)
    if "batch" in thief.capabilities:
        batch = thief.ask("step_many", items=[{**next_one, "data": server.action}])
        refused = {"items": [{"error": {"code": "SESSION_NOT_FOUND"}}], "last": True}
        expect(refused, batch, "in answer to a batch of it")
    expect(count, executed(), "as the steps executed")
    session.go_on()
