"""Checks of version 2: the handshake, requests and answers, batches, what is refused."""

from __future__ import annotations

from typing import Any

from openenv.protocol.v2 import SUBPROTOCOL_JSON, VERSION
from openenv.validation.checks import CheckFailed, Checks
from openenv.validation.conformance.bad_frames import V2, BadFrame
from openenv.validation.conformance.dialects import V2Socket, connect_v2, open_sessions, open_v2
from openenv.validation.conformance.expectation import ABSENT, ANY, NUMBER, TEXT, expect
from openenv.validation.conformance.server import ServerUnderTest
from openenv.validation.conformance.version1 import MAX_SIZE_HEADER, RESULT, too_large

__all__ = ["CHECKS"]

CHECKS = Checks[ServerUnderTest]("v2")

PROTOCOL_ERROR = 1002

LIMITS = {"max_message_size": int, "heartbeat_s": NUMBER, "lease_s": NUMBER}


def error(code: str | frozenset[str], **more: Any) -> dict[str, Any]:
    """Return the pattern of an error frame."""
    return {"type": "error", **more, "data": {"code": code, "message": TEXT}}


# --- the connection ----------------------------------------------------------------------------------


@CHECKS.check
def handshake(server: ServerUnderTest) -> None:
    """The subprotocol openenv.v2 is chosen, also beside an unknown one, and hello is answered with welcome."""
    socket = server.socket(V2Socket, "no.such.protocol", SUBPROTOCOL_JSON)
    if socket.subprotocol != SUBPROTOCOL_JSON:
        raise CheckFailed(f"the subprotocol {SUBPROTOCOL_JSON}", str(socket.subprotocol))
    expected = {"type": "welcome", "version": VERSION, "server": str, "capabilities": list, "limits": LIMITS}
    expect(expected, socket.hello(), "in answer to hello")


@CHECKS.check
def unknown_version(server: ServerUnderTest) -> None:
    """A version that is not spoken is refused with UNSUPPORTED_VERSION, and the server closes with 1002."""
    socket = connect_v2(server)
    expect(error("UNSUPPORTED_VERSION"), socket.ask("hello", version=99), "in answer to hello of version 99")
    expect(PROTOCOL_ERROR, socket.close_code(), "as the close code")


@CHECKS.check
def hello_first(server: ServerUnderTest) -> None:
    """A request before hello is refused; hello is still welcome."""
    socket = connect_v2(server)
    expect(error("VALIDATION_ERROR"), socket.ask("open"), "in answer to open before hello")
    expect({"type": "welcome"}, socket.hello(), "in answer to hello after it")


@CHECKS.check
def heartbeat(server: ServerUnderTest) -> None:
    """A ping is answered with a pong of the same id."""
    expect({"type": "pong"}, open_v2(server).ask("ping"), "in answer to a ping")


@CHECKS.check
def size_limit(server: ServerUnderTest) -> None:
    """Header and welcome tell the same limit; a larger message closes with 1009 and costs no session."""
    socket = connect_v2(server)
    limit = socket.hello().get("limits", {}).get("max_message_size")
    expect(str(limit), socket.header(MAX_SIZE_HEADER), f"as the header {MAX_SIZE_HEADER}, which welcome says")
    (session,) = open_sessions(server, socket)
    session.reset()
    too_large(socket)
    session.socket = open_v2(server)
    session.socket.needs("resume")
    resumed = session.socket.ask("resume", session=session.id, token=session.token)
    expect({"type": "resumed", "session": session.id}, resumed, "in answer to a resume after it")


@CHECKS.check
def own_size_limit(server: ServerUnderTest) -> None:
    """A client that takes less than the server sends says so in hello, and welcome has the smaller limit."""
    welcome = connect_v2(server).ask("hello", version=VERSION, max_message_size=2048)
    expect(
        {"type": "welcome", "limits": {"max_message_size": 2048}},
        welcome,
        "in answer to hello with a limit of 2048",
    )


# --- sessions, and what is asked of them -------------------------------------------------------------


@CHECKS.check
def open(server: ServerUnderTest) -> None:
    """As many sessions are opened as were asked for, one by default, each with an id and a token of its own."""
    socket = open_v2(server)
    sessions = open_sessions(server, socket, 2)
    (one,) = open_sessions(server, socket)
    names = {name for session in (one, *sessions) for name in (session.id, session.token)}
    expect(6, len(names), "different ids and tokens of 3 sessions")
    expect({"type": "observation"}, one.reset(), "in answer to a reset")


@CHECKS.check
def reset(server: ServerUnderTest) -> None:
    """A reset, with data or without, is answered with an observation under its number."""
    (session,) = open_sessions(server, open_v2(server))
    requests: list[dict[str, Any]] = [{}, {"data": {}}, {"data": {"seed": 3}}]
    for fields in requests:
        answer = session.ask("reset", **fields)
        expected = {"type": "observation", **session.address, "data": {**RESULT, "done": False}}
        expect(expected, answer, f"in answer to a reset with {fields}")


@CHECKS.check
def step_and_state(server: ServerUnderTest) -> None:
    """A step is answered with an observation under its number, a state request with the state."""
    (session,) = open_sessions(server, open_v2(server))
    session.reset()
    expect({"data": RESULT}, session.step(), "in answer to a step")
    expect({"episode_id": (str, None), "step_count": int}, session.state(), "as the state")


@CHECKS.check
def step_before_reset(server: ServerUnderTest) -> None:
    """A step before the first reset is refused with NOT_RESET, uses its number up, and a reset still works.

    Skip it where the environment says that it may be stepped without a reset.
    """
    (session,) = open_sessions(server, open_v2(server))
    expect(error("NOT_RESET", session=session.id), session.ask("step"), "before the first reset")
    session.reset()


@CHECKS.check
def bad_action(server: ServerUnderTest) -> None:
    """An action that does not validate is refused, uses its number up, and the session goes on."""
    (session,) = open_sessions(server, open_v2(server))
    session.reset()
    refused = session.ask("step", data=server.bad_action)
    errors = {"code": "VALIDATION_ERROR", "message": TEXT, "errors": list}
    expect({"type": "error", **session.address, "data": errors}, refused, "in answer to a bad action")
    session.step()


@CHECKS.each(V2)
def bad_frame(server: ServerUnderTest, bad: BadFrame) -> None:
    """A frame that is no request is answered with one error, by its id if that can be read; the session goes on."""
    socket = open_v2(server)
    (session,) = open_sessions(server, socket)
    session.reset()
    frame = bad.frame.replace("{session}", session.id) if isinstance(bad.frame, str) else bad.frame
    socket.send(frame)
    expect(error(bad.codes, id=bad.id), socket.frame("an error"))
    session.go_on()
    socket.nothing_more()


@CHECKS.check
def answers_by_id(server: ServerUnderTest) -> None:
    """An answer has the id of its request, whichever integers those are."""
    socket = open_v2(server)
    (session,) = open_sessions(server, socket)
    for number in (2**31, 12, 2**52, 10):
        socket.send(socket.encoded({"id": number, "type": "ping"}))
        expect({"id": number, "type": "pong"}, socket.frame(), f"in answer to a ping with id {number}")
    session.reset()


@CHECKS.check
def pipelining(server: ServerUnderTest) -> None:
    """Requests that are sent at once are each answered once, and run in their order within a session."""
    socket = open_v2(server)
    (session,) = open_sessions(server, socket)
    numbers = [session.send("reset"), session.send("step")]
    numbers += [session.send("reset"), session.send("step", data=server.bad_action)]
    numbers += [session.send("step"), socket.request("state", session=session.id)]
    answers = [socket.answer(number) for number in numbers]
    kinds = ["observation", "observation", "observation", "error", "observation", "state"]
    expect(kinds, [answer.get("type") for answer in answers], "as the types of six answers")
    expect([1, 2, 3, 4, 5], [answer.get("seq") for answer in answers[:5]], "as the numbers of the first five")
    socket.nothing_more()


@CHECKS.check
def sessions_apart(server: ServerUnderTest) -> None:
    """Sessions of one connection do not share an episode."""
    one, other = open_sessions(server, open_v2(server), 2)
    one.reset()
    other.reset()
    before = one.state()
    other.step()
    same = {"episode_id": before.get("episode_id"), "step_count": before.get("step_count")}
    expect(same, one.state(), "as the state of a session after a step in another")


@CHECKS.check
def tools(server: ServerUnderTest) -> None:
    """An mcp frame is answered with a JSON-RPC answer of the same id."""
    (session,) = open_sessions(server, open_v2(server))
    request = {"jsonrpc": "2.0", "id": 41, "method": "tools/list", "params": {}}
    answer = session.socket.ask("mcp", session=session.id, data=request)
    expect({"type": "mcp", "session": session.id, "data": {"jsonrpc": "2.0", "id": 41}}, answer)


@CHECKS.check
def cancel_unknown(server: ServerUnderTest) -> None:
    """Cancelling a request that is not under way finds nothing, and harms nothing."""
    socket = open_v2(server)
    socket.needs("cancel")
    (session,) = open_sessions(server, socket)
    session.reset()
    answer = socket.ask("cancel", target=123456)
    expect({"type": "cancelled", "target": 123456, "found": False}, answer, "in answer to cancel")
    session.step()


@CHECKS.check
def cancel(server: ServerUnderTest) -> None:
    """A step that is cancelled at once is answered once: with CANCELLED if it was found under way, else as ever."""
    socket = open_v2(server)
    socket.needs("cancel")
    (session,) = open_sessions(server, socket)
    session.reset()
    number = session.send("step")
    cancelled = socket.ask("cancel", target=number)
    expect({"type": "cancelled", "target": number, "found": bool}, cancelled, "in answer to cancel")
    stepped = socket.answer(number)
    if cancelled["found"]:
        expect(error("CANCELLED", session=session.id), stepped, "in answer to the cancelled step")
    else:
        expect({"type": "observation"}, stepped, "in answer to a step that was over before it could be cancelled")
    socket.nothing_more()
    session.reset()


@CHECKS.check
def close(server: ServerUnderTest) -> None:
    """A closed session is gone for every request, and its token is worth nothing; closing it again is no error."""
    socket = open_v2(server)
    (session,) = open_sessions(server, socket)
    session.reset()
    for _ in range(2):
        answer = socket.ask("close", session=session.id)
        expect({"type": "closed", "session": session.id}, answer, "in answer to close")
    expect(error("SESSION_NOT_FOUND"), session.ask("step"), "in answer to a step after close")
    expect(error("SESSION_NOT_FOUND"), socket.ask("state", session=session.id), "in answer to state after close")
    socket.needs("resume")
    resumed = socket.ask("resume", session=session.id, token=session.token)
    expect(error(frozenset(("SESSION_NOT_FOUND", "SESSION_LOST"))), resumed, "in answer to resume after close")


# --- batches -----------------------------------------------------------------------------------------


def ask_many(socket: V2Socket, kind: str, items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Send a batch and return the answers to its items by session, of which there must be exactly as many."""
    number = socket.request(kind, items=items)
    found: list[dict[str, Any]] = []
    last = False
    while not last:
        answer = socket.answer(number)
        expect({"type": "observations", "items": list, "last": bool}, answer, f"in answer to {kind}")
        found += answer["items"]
        last = answer["last"]
    by_session = {str(item.get("session")): item for item in found if isinstance(item, dict)}
    expect(len(items), len(found), f"as the number of answers to {len(items)} items")
    expect(sorted(item["session"] for item in items), sorted(by_session), "as the sessions of the answers")
    return by_session


@CHECKS.check
def batch(server: ServerUnderTest) -> None:
    """A batch is answered item by item, each exactly once, and the last frame says that it is the last."""
    socket = open_v2(server)
    socket.needs("batch")
    sessions = open_sessions(server, socket, 4)
    answers = ask_many(socket, "reset_many", [{"session": s.id, "seq": 1} for s in sessions])
    for session in sessions:
        expected = {"session": session.id, "seq": 1, "data": {**RESULT, "done": False}}
        expect({**expected, "error": ABSENT}, answers[session.id], "as the answer to one reset")
    items = [{"session": s.id, "seq": 2, "data": server.action} for s in sessions[1:]]
    answers = ask_many(socket, "step_many", items)
    for session in sessions[1:]:
        expect({"seq": 2, "data": RESULT}, answers[session.id], "as the answer to one step")
    sessions[0].seq = 1
    sessions[0].step()
    socket.nothing_more()


@CHECKS.check
def batch_with_faults(server: ServerUnderTest) -> None:
    """What is wrong with one item of a batch is its own answer; the others are executed."""
    socket = open_v2(server)
    socket.needs("batch")
    good, bad, late = open_sessions(server, socket, 3)
    for session in (good, bad, late):
        session.reset()
    items = [
        {"session": bad.id, "seq": 2, "data": server.bad_action},
        {"session": "no-such-session", "seq": 1, "data": server.action},
        {"session": late.id, "seq": 7, "data": server.action},
        {"session": good.id, "seq": 2, "data": server.action},
    ]
    answers = ask_many(socket, "step_many", items)
    expect({"data": RESULT, "error": ABSENT}, answers[good.id], "as the answer to the item that is right")
    wanted = {bad.id: "VALIDATION_ERROR", "no-such-session": "SESSION_NOT_FOUND", late.id: "SEQUENCE_ERROR"}
    for name, code in wanted.items():
        expect(
            {"data": ABSENT, "error": {"code": code, "message": TEXT}}, answers[name], "as the answer to an item"
        )
    bad.seq += 1  # used up by the refusal
    for session in (bad, late):
        expect({"data": ANY}, session.go_on(), "in answer to a step after the batch")
