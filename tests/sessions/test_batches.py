"""Steps of many sessions in one frame: an answer for each item, whatever is wrong with some of them."""

from collections import Counter
from typing import Any

import pytest
from tests.sessions.environments import Coroutines, Do, Seen, Undeclared
from tests.sessions.wire import Remote, Wire, Wires
from tests.toys import Gate, InlineCounter, gated, told_long

from openenv.protocol.v2 import MAX_BATCH


class Echo(Coroutines):
    """Answers with as many bytes as it is asked for."""

    async def step(self, action: Do) -> Seen:
        self.steps += 1
        return self._seen("x" * action.amount)


def item(session: Remote, seq: int | None = None, **action: Any) -> dict[str, Any]:
    """Return an item that steps a session, under its next number unless told otherwise."""
    if seq is None:
        session.seq += 1
    return {"session": session.id, "seq": seq or session.seq, "data": action}


def answers(wire: Wire, number: int) -> list[dict[str, Any]]:
    """Return the answers to all items of a batch; none comes after the one that is marked as the last."""
    items: list[dict[str, Any]] = []
    while True:
        frame = wire.answer(number)
        assert frame["type"] == "observations", frame
        assert frame["items"]
        items += frame["items"]
        if frame["last"]:
            assert wire.has_no_more()
            return items


def told(answer: dict[str, Any]) -> Any:
    """Return the steps that an answer counts, or the code of its error."""
    assert answer.keys() in ({"session", "seq", "data"}, {"session", "seq", "error"})
    return answer["data"]["observation"]["steps"] if "data" in answer else answer["error"]["code"]


@pytest.mark.parametrize("environment", [Coroutines, Undeclared])
def test_every_item_is_answered_by_its_own_session(shared, both: Wires, environment):
    wire = both(shared(environment))
    sessions = [wire.play() for _ in range(5)]
    for _ in range(2):
        items = [item(session, note=session.id) for session in sessions]
        given = answers(wire, wire.send("step_many", items=items))
        assert sorted(one["session"] for one in given) == sorted(session.id for session in sessions)
        assert all(one["data"]["observation"]["note"] == one["session"] for one in given)
    assert {session.state()["step_count"] for session in sessions} == {2}


def test_resets_come_in_batches_too(shared, both: Wires):
    wire = both(shared(Coroutines))
    sessions = wire.open(4)
    items = [
        {"session": one.id, "seq": 1, "data": {"episode_id": f"e{place}"}} for place, one in enumerate(sessions)
    ]
    del items[3]["data"]
    given = answers(wire, wire.send("reset_many", items=items))
    assert [told(one) for one in given] == [0] * 4
    assert [session.resume(wire)["episode_id"] for session in sessions[:3]] == ["e0", "e1", "e2"]


def test_wrong_items_are_answered_one_by_one_and_the_others_are_executed(shared, both: Wires):
    wire = both(shared(Coroutines))
    good, gap, ended, unreset = wire.play(), wire.play(), wire.play(), wire.open()[0]
    ended.step(note="done")
    items = [
        item(good),
        item(gap, seq=9),
        item(ended),
        item(unreset),
        {"session": "unknown", "seq": 1, "data": {}},
        {"session": good.id, "seq": 3, "data": {"amount": "many"}},
        {"session": good.id, "seq": 4, "data": {}, "surplus": 1},
        {"session": good.id, "data": {}},
        {"seq": 1, "data": {}},
        {"session": 5, "seq": "x", "data": None},
        {},
        "nonsense",
        None,
        [],
        item(good, seq=5),
    ]
    given = answers(wire, wire.send("step_many", items=items))
    assert Counter((one["session"], one["seq"], told(one)) for one in given) == {
        (good.id, 2, 1): 1,
        (gap.id, 9, "SEQUENCE_ERROR"): 1,
        (ended.id, 3, "EPISODE_ENDED"): 1,
        (unreset.id, 1, "NOT_RESET"): 1,
        ("unknown", 1, "SESSION_NOT_FOUND"): 1,
        (good.id, 3, "VALIDATION_ERROR"): 1,
        (good.id, 4, "VALIDATION_ERROR"): 1,
        (good.id, 0, "VALIDATION_ERROR"): 1,
        ("", 1, "VALIDATION_ERROR"): 1,
        ("", 0, "VALIDATION_ERROR"): 5,
        (good.id, 5, 2): 1,
    }
    assert good.resume(wire)["seq"] == 5


def test_an_item_twice_in_a_batch_is_executed_once_and_answered_twice(serve, both: Wires):
    gate = Gate()
    wire = both(serve(gated(gate)))
    session = wire.play()
    same = item(session, amount=0)
    number = wire.send("step_many", items=[same, same, same])
    gate.wait_for(1)
    gate.open()
    given = answers(wire, number)
    assert len(given) == 3
    assert given[0] == given[1] == given[2]
    assert session.state()["step_count"] == 1


def test_several_steps_of_one_session_are_executed_in_order(shared, both: Wires):
    wire = both(shared(Coroutines))
    session = wire.play()
    given = answers(wire, wire.send("step_many", items=[item(session) for _ in range(4)]))
    assert [told(one) for one in given] == [1, 2, 3, 4]


def test_a_batch_sent_again_is_answered_again_and_not_executed_again(shared, both: Wires):
    wire = both(shared(Coroutines))
    items = [item(session) for session in (wire.play(), wire.play())]
    first = answers(wire, wire.send("step_many", items=items))
    assert answers(wire, wire.send("step_many", items=items)) == first


def test_those_that_are_ready_do_not_wait_for_those_that_are_not(serve, both: Wires):
    gate = Gate()
    wire = both(serve(gated(gate)))
    slow, quick = wire.play(), wire.play()
    number = wire.send("step_many", items=[item(slow, amount=0), item(quick, amount=4)])
    gate.wait_for(1)
    first = wire.answer(number)
    assert first["last"] is False
    assert [one["session"] for one in first["items"]] == [quick.id]
    gate.open()
    assert [one["session"] for one in answers(wire, number)] == [slow.id]


def test_those_that_are_ready_at_once_leave_in_one_frame(shared, both: Wires):
    wire = both(shared(InlineCounter))
    sessions = wire.open(20)
    # The environments are constructed in the background, so these answers may come one by one.
    answers(wire, wire.send("reset_many", items=[{"session": session.id, "seq": 1} for session in sessions]))
    wire.send("step_many", items=[{"session": session.id, "seq": 2, "data": {}} for session in sessions])
    frame = wire.receive()
    assert (len(frame["items"]), frame["last"]) == (20, True)


def test_a_lost_connection_loses_no_item(serve, both: Wires):
    gate = Gate()
    server = serve(gated(gate))
    wire = both(server)
    sessions = [wire.play() for _ in range(3)]
    items = [item(session, amount=0) for session in sessions]
    wire.send("step_many", items=items)
    gate.wait_for(3)
    wire.drop()
    gate.open()
    again = both(server)
    for session in sessions:
        session.resume(again)
    given = answers(again, again.send("step_many", items=items))
    assert len(given) == 3
    assert [session.state()["step_count"] for session in sessions] == [1, 1, 1]


@pytest.mark.parametrize(
    "items",
    [[], None, {}, "all", [{}] * (MAX_BATCH + 1)],
    ids=["empty", "null", "object", "text", "too many"],
)
def test_a_batch_that_is_none_is_refused_as_a_whole(shared, both: Wires, items):
    wire = both(shared(Coroutines))
    session = wire.play()
    assert wire.refused("step_many", items=items)["code"] == "VALIDATION_ERROR"
    assert session.step()["steps"] == 1


def test_the_largest_batch_is_answered_item_by_item(shared, both: Wires):
    wire = both(shared(Coroutines))
    number = wire.send("step_many", items=[{"session": "unknown", "seq": 1, "data": {}}] * MAX_BATCH)
    assert len(answers(wire, number)) == MAX_BATCH


def test_before_hello_a_batch_is_refused(shared, both: Wires):
    wire = both.raw(shared(Coroutines))
    items = [{"session": "unknown", "seq": 1, "data": {}}]
    assert wire.refused("step_many", items=items)["code"] == "VALIDATION_ERROR"
    assert wire.refused("step_many", items=["wrong"])["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize("size", [2_500, 9_900, 10_400])
def test_no_answer_is_larger_than_what_the_other_side_takes(serve, both: Wires, monkeypatch, size):
    """What is too large alone is told so; what is too large together is sent apart."""
    monkeypatch.setenv("OPENENV_MAX_MESSAGE_SIZE_MB", "0.01")
    wire = both(serve(Echo))
    limit = wire.ask("hello", version=2)["limits"]["max_message_size"]
    assert limit == 10_485
    items = [item(wire.play(), amount=size) for _ in range(4)]
    wire.send("step_many", items=items)
    given: list[dict[str, Any]] = []
    while len(given) < 4:
        raw = wire.socket.recv()
        assert len(raw) <= limit
        given += wire.decoded(raw)["items"]
    code = told(given[0])
    assert [told(one) for one in given] == [code] * 4
    assert code == (1 if size < 10_000 else "MESSAGE_TOO_LARGE")


def test_a_step_that_takes_long_delays_no_other_of_its_batch_and_no_other_session(serve, both: Wires):
    gate = Gate()
    wire = both(serve(told_long(gate)))
    slow, quick, alone = wire.play(), wire.play(), wire.play()
    number = wire.send("step_many", items=[item(slow, amount=0), item(quick, amount=2)])
    gate.wait_for(1)
    assert alone.seen(alone.send("step", {"amount": 3}))["total"] == 3
    gate.open()
    given = {one["session"]: one["data"]["observation"]["total"] for one in answers(wire, number)}
    assert given == {slow.id: 0, quick.id: 2}
    assert slow.seen(slow.send("step", {"amount": 4}))["total"] == 4


def test_what_follows_a_step_that_takes_long_waits_for_its_turn(serve, both: Wires):
    gate = Gate()
    session = both(serve(told_long(gate))).play()
    asked = [session.send("step", {"amount": amount}) for amount in (1, 0, 2)]
    gate.wait_for(1)
    gate.open()
    assert [session.seen(one)["total"] for one in asked] == [1, 1, 3]
