"""What is left of a client that has gone: a session for the length of its lease, and then nothing."""

import pytest
from tests.servers import wait_until
from tests.sessions.environments import KINDS
from tests.sessions.wire import Wires, used
from tests.toys import Counter, Gate, gated

from openenv.server.budgets import Budgets

LEASE = Budgets(lease=0.05)


def test_a_session_without_its_client_ends_with_its_lease_and_frees_its_slot(serve, both: Wires):
    server = serve(Counter, budgets=LEASE)
    session = both(server).play()
    assert used(server) == 1
    session.wire.drop()
    assert wait_until(lambda: used(server) == 0)
    assert server.manager.sessions() == []


@pytest.mark.usefixtures("short_grace")
@pytest.mark.parametrize("kind", KINDS)
def test_the_slot_is_free_although_a_step_still_runs(serve, wires: Wires, kind):
    server = serve(KINDS[kind], budgets=LEASE, max_concurrent_envs=1)
    session = wires(server).play()
    session.begin("hang")
    session.wire.drop()
    assert wait_until(lambda: used(server) == 0)
    assert wires(server).play().step()["steps"] == 1


@pytest.mark.usefixtures("short_grace")
@pytest.mark.parametrize("kind", KINDS)
def test_the_slot_is_free_although_a_step_that_was_given_up_still_runs(serve, wires: Wires, kind):
    server = serve(KINDS[kind], budgets=Budgets(step=0.05), max_concurrent_envs=1)
    session = wires(server).play()
    assert session.error(session.begin("hang"))["code"] == "BUDGET_EXCEEDED"
    session.wire.ask("close", session=session.id)
    assert wait_until(lambda: used(server) == 0)


def test_what_a_client_asked_for_is_done_although_it_has_gone(serve, both: Wires):
    gate = Gate()
    server = serve(gated(gate))
    session = both(server).play()
    session.send("step", {"amount": 0})
    session.send("step", {"amount": 7})
    gate.wait_for(1)
    session.wire.drop()
    gate.open()
    session.resume(both(server))
    assert wait_until(lambda: session.state()["total"] == 7)


def test_a_session_that_is_held_has_no_lease(serve, both: Wires):
    server = serve(Counter, budgets=LEASE)
    held, left = both(server).play(), both(server).play()
    left.wire.drop()
    assert wait_until(lambda: used(server) == 1)
    held.send("step", {"amount": 5})
    assert held.state()["total"] == 5


def test_closing_frees_the_slot_at_once(serve, both: Wires):
    server = serve(Counter, budgets=Budgets(lease=1000))
    session = both(server).play()
    session.wire.ask("close", session=session.id)
    assert wait_until(lambda: used(server) == 0)
    assert session.wire.has_no_more(), "whoever has closed a session is not told that it ended"


def test_closing_answers_what_is_under_way_and_then_says_closed(serve, both: Wires):
    gate = Gate()
    session = both(serve(gated(gate))).play()
    running, queued = session.send("step", {"amount": 0}), session.send("step", {"amount": 1})
    gate.wait_for(1)
    closing = session.wire.send("close", session=session.id)
    frames = [session.wire.receive() for _ in range(3)]
    assert [frame["id"] for frame in frames] == [running, queued, closing]
    assert [frame["data"]["code"] for frame in frames[:2]] == ["SESSION_LOST"] * 2
    gate.open()


def test_what_is_closed_twice_is_closed(shared, both: Wires):
    session = both(shared(Counter)).play()
    for _ in range(2):
        assert session.wire.ask("close", session=session.id)["session"] == session.id
