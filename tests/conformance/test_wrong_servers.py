"""The suite finds what is wrong: our own server, broken in one place at a time, fails the check about it."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.conformance.conftest import Conform
from tests.servers import Server
from tests.toys import InlineCounter

from openenv.errors import RequestError, SessionLost
from openenv.protocol import codec_v2, encoding, v2
from openenv.server import batch, fast, multiplex, sessions
from openenv.server.connection import Connection
from openenv.server.multiplex import MultiplexConnection
from openenv.server.requests import Request
from openenv.server.sessions import Session
from openenv.validation.checks import Verdict

IMPATIENT_S = 0.3
"""Seconds to wait for an answer that does not come."""


def executes_replays(session: Session, seq: int, operation: Any, reply: Any) -> Request:
    session.seq = seq
    return session.submit(Request(operation, reply))


def forgets_refusals(session: Session, seq: int, error: RequestError, reply: Any) -> None:
    reply(sessions.Reply.failed(error, session.format))


def ends_with_the_socket(connection: MultiplexConnection) -> None:
    connection.is_lost = True
    for session in list(connection._sessions.values()):
        session.end()


def says_found(connection: MultiplexConnection, frame: v2.Cancel) -> None:
    connection._say(v2.Cancelled(id=frame.id, target=frame.target, found=True))


def welcomes(connection: MultiplexConnection, frame: v2.Hello) -> None:
    connection._greeted = True
    limits = v2.Limits(max_message_size=1, heartbeat_s=1, lease_s=1)
    connection._say(v2.Welcome(id=frame.id, version=frame.version, server="x", capabilities=[], limits=limits))


def answers_under_no_id(connection: MultiplexConnection, _number: Any, error: RequestError, *_: Any) -> None:
    connection.send(connection.format.encode({"id": None, "type": "error", "data": error.to_wire()}))


def steps_whatever_it_does_not_hold(connection: MultiplexConnection, frame: v2.GetState) -> None:
    session = connection.manager.get(frame.session)
    session.state(lambda reply: connection._answer(frame.id, frame.session, 0, reply))


def closes_on_bad_frames(connection: Connection, error: RequestError) -> None:
    connection._session_ended(SessionLost(error.message))


def loses_an_item(batch: Any) -> None:
    batch._ready.pop()
    batch._begun = True
    batch._flush()


def nothing(*_: Any) -> None:
    pass


BROKEN: dict[str, tuple[Any, str, Callable[..., Any] | Any]] = {
    "v1.bad_frame[a number]": (Connection, "refused", closes_on_bad_frames),
    "v1.size_limit": (fast, "MAX_SIZE_HEADER", "x-something-else"),
    "v1.reset": (encoding, "BESIDE_OBSERVATION", set()),
    "v1.step_before_reset": (sessions, "_REFUSED", {}),
    "v2.step_before_reset": (sessions, "_REFUSED", {}),
    "http.step_before_reset": (sessions, "_REFUSED", {}),
    "v2.replay": (Session, "numbered", executes_replays),
    "v2.gap": (Session, "numbered", executes_replays),
    "v2.exactly_once": (Session, "numbered", executes_replays),
    "v2.replay_of_a_refusal": (Session, "refuse", forgets_refusals),
    "v2.bad_action": (Session, "refuse", nothing),
    "v2.resume": (MultiplexConnection, "lost", ends_with_the_socket),
    "msgpack.resume": (MultiplexConnection, "lost", ends_with_the_socket),
    "v2.taken_over": (MultiplexConnection, "taken", nothing),
    "v2.forged_token": (multiplex.hmac, "compare_digest", lambda *_: True),
    "v2.foreign_session": (MultiplexConnection, "_state", steps_whatever_it_does_not_hold),
    "v2.unknown_version": (MultiplexConnection, "_hello", welcomes),
    "v2.heartbeat": (MultiplexConnection, "_ping", nothing),
    "v2.cancel_unknown": (MultiplexConnection, "_cancel", says_found),
    "v2.cancel": (MultiplexConnection, "_cancel", says_found),
    "v2.bad_frame[an unknown type]": (MultiplexConnection, "_fail", answers_under_no_id),
    "v2.batch": (batch.Batch, "begun", loses_an_item),
    "msgpack.not_a_number": (codec_v2, "_NON_FINITE_STARTS", ()),
}


@pytest.mark.parametrize("check", BROKEN)
def test_a_fault_fails_its_check(check: str, serve: Callable[..., Server], conform: Conform, monkeypatch):
    server = serve(InlineCounter)
    monkeypatch.setattr(*BROKEN[check])
    (result,) = conform(server, check, timeout_s=IMPATIENT_S)
    assert result.verdict is Verdict.FAILED
    assert result.expected
    assert result.got


def test_a_server_of_version_1_fails_one_check_of_version_2_and_skips_the_others(
    serve, conform: Conform, monkeypatch
):
    server = serve(InlineCounter)
    monkeypatch.setattr("openenv.server.config.FORMATS", {})
    results = conform(server, "v2*", "msgpack*")
    assert [r.name for r in results if r.verdict is Verdict.FAILED] == ["v2.handshake"]
    assert {r.why for r in results if r.verdict is Verdict.SKIPPED} == {
        "the server does not speak openenv.v2",
        "the server does not speak openenv.v2.msgpack",
    }
    assert not [r for r in results if r.verdict is Verdict.OK]


def test_what_a_server_says_it_can_not_do_is_skipped(serve, conform: Conform, monkeypatch):
    server = serve(InlineCounter)
    monkeypatch.setattr(multiplex, "CAPABILITIES", [])
    skipped = {r.name for r in conform(server, "v2*") if r.verdict is Verdict.SKIPPED}
    assert {"v2.batch", "v2.cancel", "v2.resume", "v2.exactly_once", "v2.forged_token"} <= skipped
    assert "v2.replay" not in skipped
