"""Checks of version 2: episodes that are kept, put back and forked, where the environment can be."""

from __future__ import annotations

from typing import Any

from openenv.validation.checks import Checks, CheckSkipped
from openenv.validation.conformance.dialects import RemoteSession, open_sessions, open_v2
from openenv.validation.conformance.expectation import NUMBER, expect
from openenv.validation.conformance.server import ServerUnderTest
from openenv.validation.conformance.version2 import error

__all__ = ["CHECKS"]

CHECKS = Checks[ServerUnderTest]("v2")

OPTIONAL = (str, None)
POINT = {"parent_id": OPTIONAL, "step_count": int, "done": bool}
SNAPSHOT = {"snapshot": str, "episode_id": OPTIONAL, "step_count": int, "age_s": NUMBER, "expires_s": NUMBER}


def begun(server: ServerUnderTest) -> RemoteSession:
    """Open a session of a server that keeps and forks episodes, and begin one."""
    socket = open_v2(server)
    socket.needs("snapshot")
    (session,) = open_sessions(server, socket)
    session.reset()
    return session


def copied(server: ServerUnderTest, session: RemoteSession, verb: str, **fields: Any) -> dict[str, Any]:
    """Have a session kept, put back or forked, and return the answer's data.

    Raises:
        CheckSkipped: Its environment can not be, or there is no room for forks.
    """
    answer = session.ask(verb, **fields)
    told = answer.get("data")
    if answer.get("type") == "error" and isinstance(told, dict):
        if told.get("code") in ("SNAPSHOT_UNSUPPORTED", "SNAPSHOT_LIMIT"):
            raise CheckSkipped(f"the environment's episodes can not be kept: {told.get('message')}")
        server.need_room(told, 2)
    kind = {"snapshot": "snapshotted", "restore": "restored", "fork": "forked"}[verb]
    expect({"type": kind, **session.address, "data": dict}, answer, f"in answer to {verb}")
    assert isinstance(told, dict)
    return told


@CHECKS.check
def snapshot(server: ServerUnderTest) -> None:
    """A snapshot has an id, is listed, and can be dropped; dropping it again is no error."""
    session = begun(server)
    kept = copied(server, session, "snapshot")
    expect(SNAPSHOT, kept, "as the data of a snapshot")
    listed = session.socket.ask("snapshots", session=session.id)
    one = {"snapshot": kept["snapshot"]}
    expect({"type": "snapshots", "session": session.id, "data": {"snapshots": [one]}}, listed)
    for found in (True, False):
        dropped = session.socket.ask("drop", session=session.id, data=one)
        expect({"type": "dropped", "data": {"found": found}}, dropped, "in answer to drop")
    session.go_on()


@CHECKS.check
def snapshot_before_reset(server: ServerUnderTest) -> None:
    """Where there is no episode, nothing is kept and nothing forked.

    Skip it where the environment says that it may be stepped without a reset.
    """
    socket = open_v2(server)
    socket.needs("snapshot")
    (session,) = open_sessions(server, socket)
    for verb in ("snapshot", "fork"):
        expect(error("NOT_RESET", session=session.id), session.ask(verb), f"in answer to {verb} before a reset")
    session.reset()


@CHECKS.check
def restore(server: ServerUnderTest) -> None:
    """A restore puts the session back where it stood: the same episode, as many steps."""
    session = begun(server)
    kept = copied(server, session, "snapshot")
    session.go_on()
    point = copied(server, session, "restore", data={"snapshot": kept["snapshot"]})
    expected = {**POINT, "episode_id": kept["episode_id"], "step_count": kept["step_count"], "done": False}
    expect(expected, point, "as the data of a restore")
    session.step()


@CHECKS.check
def restore_unknown(server: ServerUnderTest) -> None:
    """A snapshot that is not there is SNAPSHOT_NOT_FOUND, and the episode goes on."""
    session = begun(server)
    answer = session.ask("restore", data={"snapshot": "no-such-snapshot"})
    expect(error("SNAPSHOT_NOT_FOUND", session=session.id), answer, "in answer to a restore")
    session.step()


@CHECKS.check
def fork(server: ServerUnderTest) -> None:
    """A fork is a session of its own, in the middle of an episode that has another id; the connection holds it."""
    session = begun(server)
    data = copied(server, session, "fork")
    one = {"session": str, "token": str, "episode_id": OPTIONAL}
    expect({**POINT, "sessions": [one]}, data, "as the data of a fork")
    forked = RemoteSession(server, session.socket, data["sessions"][0])
    expect(3, len({session.id, forked.id, forked.token}), "as the number of different ids and tokens")
    before = session.state()
    expect({"episode_id": data["sessions"][0]["episode_id"]}, forked.state(), "as the state of the fork")
    forked.step()
    same = {"episode_id": before.get("episode_id"), "step_count": before.get("step_count")}
    expect(same, session.state(), "as the state of a session after a step in its fork")
    session.step()


@CHECKS.check
def fork_again(server: ServerUnderTest) -> None:
    """The number of a fork once more is answered with the same forks."""
    session = begun(server)
    data = copied(server, session, "fork")
    RemoteSession(server, session.socket, data["sessions"][0])
    expect({"type": "forked", "data": {"sessions": data["sessions"]}}, session.again(), "in answer to it again")
    session.go_on()
