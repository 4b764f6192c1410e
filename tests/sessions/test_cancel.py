"""Taking a request back: while it waits, while it runs, and when it is too late."""

import pytest
from tests.sessions.environments import KINDS, Coroutines
from tests.sessions.wire import Remote, Wires
from tests.toys import Gate, gated


def cancel(session: Remote, target: int) -> bool:
    """Cancel a request; return whether it was found under way."""
    answer = session.wire.ask("cancel", target=target)
    assert (answer["type"], answer["target"]) == ("cancelled", target)
    return bool(answer["found"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_that_runs_is_stopped_and_answered(shared, both: Wires, kind):
    session = both(shared(KINDS[kind])).play()
    running = session.begin("hang")
    assert cancel(session, running)
    assert session.error(running)["code"] == "CANCELLED"


def test_after_a_step_was_stopped_only_a_reset_goes_on(shared, both: Wires):
    """The environment may be anywhere, so it is replaced."""
    session = both(shared(Coroutines)).play()
    running = session.begin("hang")
    cancel(session, running)
    assert session.phase() == "broken"
    assert session.error(session.begin())["code"] == "CANCELLED"
    assert session.reset()["steps"] == 0
    assert session.step()["steps"] == 1


def test_a_request_that_waits_is_taken_out_and_the_others_go_on(serve, both: Wires):
    gate = Gate()
    session = both(serve(gated(gate))).play()
    first, second, third = (session.send("step", {"amount": amount}) for amount in (0, 5, 2))
    gate.wait_for(1)
    assert cancel(session, second)
    assert session.error(second)["code"] == "CANCELLED"
    gate.open()
    assert session.seen(first)["total"] == 0
    assert session.seen(third)["total"] == 2
    assert session.state()["step_count"] == 2


def test_a_request_that_was_cancelled_keeps_its_number_and_its_answer(serve, both: Wires):
    gate = Gate()
    session = both(serve(gated(gate))).play()
    first = session.send("step", {"amount": 0})
    second = session.send("step", {"amount": 5})
    gate.wait_for(1)
    cancel(session, second)
    assert session.error(session.send("step", {"amount": 5}, seq=3))["code"] == "CANCELLED"
    gate.open()
    assert session.seen(first)["total"] == 0
    assert session.seen(session.send("step", {"amount": 1}))["total"] == 1


def test_a_state_request_can_be_cancelled(shared, both: Wires):
    session = both(shared(Coroutines)).play()
    session.step("hang in state")
    asked = session.wire.send("state", session=session.id)
    assert cancel(session, asked)
    assert session.wire.answer(asked)["data"]["code"] == "CANCELLED"


def test_what_was_answered_or_never_asked_can_not_be_cancelled(shared, both: Wires):
    session = both(shared(Coroutines)).play()
    answered = session.begin()
    session.seen(answered)
    assert not cancel(session, answered)
    assert not cancel(session, 12345)
    assert session.step()["steps"] == 2


def test_a_request_can_not_be_cancelled_from_another_connection(serve, both: Wires):
    gate = Gate()
    server = serve(gated(gate))
    session, stranger = both(server).play(), both(server).play()
    running = session.send("step", {"amount": 0})
    gate.wait_for(1)
    assert not cancel(stranger, running)
    gate.open()
    assert session.seen(running)["total"] == 0


def test_one_request_is_cancelled_and_those_of_other_sessions_are_not(shared, both: Wires):
    wire = both(shared(Coroutines))
    first, second = wire.play(), wire.play()
    hung = first.begin("hang")
    assert cancel(first, hung)
    assert second.step()["steps"] == 1
    assert first.error(hung)["code"] == "CANCELLED"


@pytest.mark.parametrize("target", [None, "one", [], {}])
def test_what_is_no_request_is_refused(shared, both: Wires, target):
    session = both(shared(Coroutines)).play()
    assert session.wire.refused("cancel", target=target)["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_cancelled_as_asked_is_not_logged_as_a_failure(serve, both: Wires, kind, caplog):
    server = serve(KINDS[kind])
    session = both(server).play()
    running = session.begin("hang")
    cancel(session, running)
    assert session.error(running)["code"] == "CANCELLED"
    session.reset()
    session.wire.ask("close", session=session.id)
    assert not [record for record in caplog.records if "failed" in record.message]
