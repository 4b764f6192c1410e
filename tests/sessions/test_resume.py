"""Taking a session up again after its connection is lost, and who may."""

import httpx
import pytest
from tests.servers import wait_until
from tests.sessions.environments import Coroutines
from tests.sessions.wire import Remote, Wire, Wires, other, pass_time
from tests.toys import Counter, Gate, gated

from openenv.server.budgets import Budgets


def test_a_session_goes_on_over_another_connection(shared, both: Wires):
    server = shared(Coroutines)
    session = both(server).play()
    session.step()
    session.wire.drop()
    told = session.resume(both(server))
    assert {name: told[name] for name in ("type", "session", "seq", "phase")} == {
        "type": "resumed",
        "session": session.id,
        "seq": 2,
        "phase": "running",
    }
    assert told["episode_id"]
    assert session.step()["steps"] == 2


def lost_during_a_step(wire: Wire, gate: Gate) -> Remote:
    """Return a session whose connection is gone, and whose step waits for the gate."""
    session = wire.play()
    session.send("step", {"amount": 0})
    gate.wait_for(1)
    session.wire.drop()
    return session


def test_what_was_answered_into_the_void_is_answered_again_and_not_executed_again(serve, both: Wires):
    gate = Gate()
    server = serve(gated(gate))
    session = lost_during_a_step(both(server), gate)
    wait_until(lambda: server.manager.get(session.id).lease_until is not None)
    gate.open()
    told = session.resume(both(server))
    assert told["seq"] == 2
    assert session.seen(session.send("step", {"amount": 0}, seq=2))["total"] == 0
    assert session.state()["step_count"] == 1


def test_what_still_runs_is_answered_to_whoever_has_resumed_and_asked_again(serve, both: Wires):
    gate = Gate()
    server = serve(gated(gate))
    session = lost_during_a_step(both(server), gate)
    session.resume(both(server))
    number = session.send("step", {"amount": 0}, seq=2)
    gate.open()
    assert session.seen(number)["total"] == 0
    assert session.state()["step_count"] == 1
    assert session.wire.has_no_more()


def test_a_step_that_never_arrived_is_executed_when_it_is_sent_again(shared, both: Wires):
    server = shared(Coroutines)
    session = both(server).play()
    session.wire.drop()
    assert session.resume(both(server))["seq"] == 1
    assert session.step()["steps"] == 1


@pytest.mark.parametrize("forged", ["", "x", "0" * 22, "token", "\N{SNOWMAN}" * 22])
def test_a_token_that_is_wrong_is_refused_as_if_there_were_no_session(shared, both: Wires, forged):
    server = shared(Coroutines)
    session = both(server).play()
    thief = both(server)
    refused = thief.refused("resume", session=session.id, token=forged)
    unknown = thief.refused("resume", session="no-such-session", token=forged)
    assert refused["code"] == unknown["code"] == "SESSION_NOT_FOUND"
    assert refused["message"].replace(session.id, "*") == unknown["message"].replace("no-such-session", "*")
    assert session.step()["steps"] == 1, "its owner is not disturbed"


def test_a_token_that_is_right_up_to_its_last_letter_is_wrong(shared, wires: Wires):
    server = shared(Coroutines)
    session = wires(server).play()
    for forged in (session.token[:-1], session.token + "x", session.token.swapcase(), session.token[::-1]):
        assert wires(server).refused("resume", session=session.id, token=forged)["code"] == "SESSION_NOT_FOUND"


def test_the_token_of_one_session_does_not_open_another(shared, both: Wires):
    server = shared(Coroutines)
    mine, theirs = both(server).play(), both(server).play()
    for session, token in ((theirs.id, mine.token), (mine.id, theirs.token)):
        assert both(server).refused("resume", session=session, token=token)["code"] == "SESSION_NOT_FOUND"
    assert mine.step()["steps"] == theirs.step()["steps"] == 1


@pytest.mark.parametrize("token", [None, 5, [], {}])
def test_what_is_no_token_is_refused(shared, both: Wires, token):
    server = shared(Coroutines)
    session = both(server).play()
    assert both(server).refused("resume", session=session.id, token=token)["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize("request_", ["step", "state", "reset", "close"])
def test_without_resuming_nobody_reaches_a_session_of_another_connection(shared, both: Wires, request_):
    server = shared(Coroutines)
    session = both(server).play()
    stranger = both(server)
    fields = {"seq": 2, "data": {}} if request_ in ("step", "reset") else {}
    answer = stranger.answer(stranger.send(request_, session=session.id, **fields))
    if request_ == "close":  # closing what one does not hold is as if it were closed already
        assert answer["type"] == "closed"
    else:
        assert answer["data"]["code"] == "SESSION_NOT_FOUND"
    assert session.step()["steps"] == 1


def test_a_session_of_version_2_can_not_be_used_over_plain_http_without_its_token(shared, wires: Wires):
    server = shared(Coroutines)
    session = wires(server).play()
    url = f"{server.url}/sessions/{session.id}"
    with httpx.Client(trust_env=False) as http:
        assert http.post(f"{url}/step", json={"action": {}}).status_code == 404
        assert http.post(f"{url}/reset").status_code == 404
    assert session.step()["steps"] == 1


def test_whoever_shows_the_token_takes_a_session_over_from_a_connection_that_is_half_dead(shared, both: Wires):
    server = shared(Coroutines)
    half_dead = both(server)
    session = half_dead.play()
    session.resume(both(server))
    assert session.step()["steps"] == 1
    notice = half_dead.notice()
    assert (notice["type"], notice["session"]) == ("ended", session.id)
    assert notice["data"]["code"] == "SESSION_LOST"
    assert "another connection" in notice["data"]["message"]
    refused = half_dead.refused("step", session=session.id, seq=3, data={})
    assert refused["code"] == "SESSION_NOT_FOUND"
    assert session.step()["steps"] == 2


def test_a_session_that_was_taken_over_does_not_end_with_the_connection_it_was_taken_from(serve, both: Wires):
    server = serve(Coroutines, budgets=Budgets(lease=0.1))
    half_dead = both(server)
    session, rest = half_dead.open(2)
    session.reset()
    session.resume(both(server))
    half_dead.drop()
    assert wait_until(lambda: rest.id not in {one.id for one in server.manager.sessions()})
    assert session.step()["steps"] == 1


def test_the_answer_to_a_request_of_the_first_connection_does_not_go_astray(serve, both: Wires):
    gate = Gate()
    server = serve(gated(gate))
    first, second = both(server), both(server)
    session = first.play()
    session.send("step", {"amount": 0})
    gate.wait_for(1)
    session.resume(second)
    gate.open()
    assert session.state()["step_count"] == 1
    assert second.has_no_more(), "only what was asked for on this connection is answered on it"


def test_resuming_in_the_other_encoding_is_refused_and_in_the_same_it_goes_on(shared, both: Wires):
    server = shared(Coroutines)
    session = both(server).play()
    session.wire.drop()
    wrong = both(server, other(both.format))
    refused = wrong.refused("resume", session=session.id, token=session.token)
    assert refused["code"] == "VALIDATION_ERROR"
    assert both.format.subprotocol in refused["message"]
    session.resume(both(server))
    assert session.step()["steps"] == 1


def test_a_session_that_has_not_been_used_may_change_its_encoding(shared, both: Wires):
    server = shared(Coroutines)
    [session] = both(server).open()
    session.resume(both(server, other(both.format)))
    session.reset()
    assert session.step(note="in the other")["note"] == "in the other"


def test_resuming_where_it_is_held_changes_nothing(shared, both: Wires):
    wire = both(shared(Coroutines))
    session = wire.play()
    assert [session.resume(wire)["seq"] for _ in range(3)] == [1, 1, 1]
    assert session.step()["steps"] == 1
    assert wire.has_no_more()


def test_what_was_closed_can_not_be_resumed(shared, both: Wires):
    server = shared(Coroutines)
    session = both(server).play()
    session.wire.ask("close", session=session.id)
    refused = both(server).refused("resume", session=session.id, token=session.token)
    assert refused["code"] == "SESSION_NOT_FOUND"


def test_after_the_lease_it_is_lost_and_the_reason_is_told(serve, both: Wires):
    server = serve(Counter, budgets=Budgets(lease=0.05))
    session = both(server).play()
    session.wire.drop()
    assert wait_until(lambda: not server.manager.sessions())
    refused = both(server).refused("resume", session=session.id, token=session.token)
    assert refused["code"] == "SESSION_LOST"
    assert "within its lease of 0.05 s" in refused["message"]


def test_a_resume_ends_the_lease(serve, both: Wires):
    server = serve(Coroutines, budgets=Budgets(lease=60))
    session, left = both(server).open(2)
    session.wire.drop()
    session.resume(both(server))
    session.reset()
    pass_time(server, 61)
    assert wait_until(lambda: left.id not in {one.id for one in server.manager.sessions()})
    assert session.step()["steps"] == 1
