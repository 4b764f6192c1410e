"""What sequence numbers promise: once and in order, whatever is sent twice, too early or wrong."""

import pytest
from tests.sessions.environments import Blocking, Coroutines
from tests.sessions.wire import Wires
from tests.toys import Gate, gated


def test_the_next_number_is_executed(shared, both: Wires):
    session = both(shared(Coroutines)).play()
    assert [session.step()["steps"] for _ in range(3)] == [1, 2, 3]
    assert session.seq == 4


@pytest.mark.parametrize("environment", [Coroutines, Blocking])
def test_the_last_number_again_gets_the_same_answer_and_executes_nothing(shared, both: Wires, environment):
    session = both(shared(environment)).play()
    first = session.step(note="once")
    assert session.step(note="twice", seq=session.seq) == first
    assert session.step(note="thrice", seq=session.seq) == first
    assert session.state()["step_count"] == 1
    assert session.step()["steps"] == 2


def test_a_reset_again_gets_the_same_answer_and_starts_nothing(shared, both: Wires):
    wire = both(shared(Coroutines))
    session = wire.play()
    episode = session.resume(wire)["episode_id"]
    wire.ask("reset", session=session.id, seq=1, data={"episode_id": "another"})
    assert session.resume(wire)["episode_id"] == episode


def test_the_number_of_the_running_request_is_answered_by_it(serve, both: Wires):
    gate = Gate()
    session = both(serve(gated(gate))).play()
    numbers = [session.send("step", {"amount": 0}), session.send("step", {"amount": 0}, seq=2)]
    gate.wait_for(1)
    gate.open()
    answers = [session.wire.answer(number) for number in numbers]
    assert answers[0]["data"] == answers[1]["data"]
    assert session.state()["step_count"] == 1


def test_requests_sent_at_once_are_executed_in_order_and_all_answered(serve, both: Wires):
    gate = Gate()
    session = both(serve(gated(gate))).play()
    numbers = [session.send("step", {"amount": amount}) for amount in (0, 1, 2, 3)]
    gate.open()
    assert [session.seen(number)["total"] for number in numbers] == [0, 1, 3, 6]


@pytest.mark.parametrize("seq", [4, 5, 1000, 2**60])
def test_a_gap_is_refused_and_nothing_is_executed(shared, both: Wires, seq):
    session = both(shared(Coroutines)).play()
    session.step()
    error = session.error(session.begin(seq=seq))
    assert error["code"] == "SEQUENCE_ERROR"
    assert error["message"] == f"Request number {seq} does not follow 2; nothing was executed"
    assert session.step()["steps"] == 2


def test_an_older_number_is_refused_and_it_is_not_said_that_nothing_was_executed(shared, wires: Wires):
    session = wires(shared(Coroutines)).play()
    session.step()
    session.step()
    error = session.error(session.begin(seq=2))
    assert error["code"] == "SEQUENCE_ERROR"
    assert "answered long ago" in error["message"]
    assert session.state()["step_count"] == 2


@pytest.mark.parametrize("data", [{"amount": "many"}, {"unknown": 1}, [], None, {"what": {"a": 1}}])
def test_a_step_that_does_not_validate_uses_its_number_up(shared, both: Wires, data):
    session = both(shared(Coroutines)).play()
    error = session.wire.refused("step", session=session.id, seq=2, data=data)
    assert error["code"] == "VALIDATION_ERROR"
    assert error["errors"]
    again = session.wire.refused("step", session=session.id, seq=2, data=data)
    assert again["code"] == "VALIDATION_ERROR"
    session.seq = 2
    assert session.step()["steps"] == 1


def test_a_refusal_does_not_take_the_answer_of_the_request_before_it(serve, both: Wires):
    gate = Gate()
    session = both(serve(gated(gate))).play()
    slow = session.send("step", {"amount": 0})
    assert session.error(session.send("step", {"amount": "many"}))["code"] == "VALIDATION_ERROR"
    gate.open()
    assert session.seen(slow)["total"] == 0


def test_a_step_out_of_turn_uses_its_number_up(shared, both: Wires):
    wire = both(shared(Coroutines))
    [session] = wire.open()
    assert session.error(session.begin())["code"] == "NOT_RESET"
    assert session.error(session.begin(seq=1))["code"] == "NOT_RESET"
    session.reset()
    session.step(note="done")
    assert session.error(session.begin())["code"] == "EPISODE_ENDED"
    assert session.resume(wire)["seq"] == 4
    assert session.reset()["steps"] == 0


def test_a_refused_number_stays_refused_although_it_would_be_legal_now(serve, both: Wires):
    """The answer to a number never changes: a request sent again must not do what it did not do at first."""
    [session] = both(serve(Coroutines)).open()
    session.error(session.begin())
    session.reset()
    assert session.error(session.begin(seq=1))["code"] == "SEQUENCE_ERROR"
    assert session.state()["step_count"] == 0


@pytest.mark.parametrize("seq", [0, -1, "two", 1.5, None, [2]])
def test_what_is_no_number_is_refused(shared, both: Wires, seq):
    session = both(shared(Coroutines)).play()
    refused = session.wire.refused("step", session=session.id, seq=seq, data={})
    assert refused["code"] == "VALIDATION_ERROR"
    assert refused["errors"][0]["loc"][-1] == "seq"
    assert session.step()["steps"] == 1


def test_the_numbers_of_sessions_have_nothing_to_do_with_one_another(shared, both: Wires):
    wire = both(shared(Coroutines))
    first, second = wire.open(2)
    first.reset()
    first.step()
    second.reset()
    assert (first.seq, second.seq) == (2, 1)
    assert second.step()["steps"] == 1


def test_a_state_request_has_no_number(shared, both: Wires):
    wire = both(shared(Coroutines))
    session = wire.play()
    assert [session.state()["step_count"] for _ in range(3)] == [0, 0, 0]
    assert session.resume(wire)["seq"] == 1
    assert wire.refused("state", session=session.id, seq=2)["code"] == "VALIDATION_ERROR"


def test_what_the_environment_raises_is_the_answer_to_its_number(shared, both: Wires):
    session = both(shared(Coroutines)).play()
    error = session.error(session.begin("fail"))
    assert error["code"] == "EXECUTION_ERROR"
    assert session.error(session.begin("fail", seq=2)) == error
    assert session.step()["steps"] == 2
