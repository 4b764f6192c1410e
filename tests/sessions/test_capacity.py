"""Who gets a session when there are not enough: the queue, its limit, and what those who get none are told."""

import httpx
import pytest
from tests.servers import wait_until
from tests.sessions.environments import Blocking
from tests.sessions.wire import Wires, used
from tests.toys import Counter, Gate, InlineCounter, gated
from websockets.exceptions import ConnectionClosed

from openenv.server.budgets import Budgets

PATIENT = Budgets(queue=1000)


def waiting(server) -> int:
    """Return how many wait for a session."""
    return int(server.on_loop(server.manager.capacity).waiting)


def test_a_full_server_says_how_full_it_is_and_when_to_try_again(serve, both: Wires):
    server = serve(Counter, max_concurrent_envs=2)
    both(server).open(2)
    wire = both(server)
    error = wire.refused("open")
    assert error["code"] == "CAPACITY_REACHED"
    assert (error["active_sessions"], error["max_sessions"]) == (2, 2)
    assert error["retry_after"] > 0
    assert "max_concurrent_envs" in error["message"]
    assert wire.ask("ping")["type"] == "pong", "the connection goes on"


def test_several_sessions_are_opened_all_or_none(serve, both: Wires):
    server = serve(Counter, max_concurrent_envs=3)
    wire = both(server)
    wire.open(2)
    assert wire.refused("open", count=2)["code"] == "CAPACITY_REACHED"
    assert wait_until(lambda: used(server) == 2)
    assert wire.has_no_more(), "nobody is told of sessions that nobody has heard of"
    wire.open(1)


@pytest.mark.parametrize("queue", [0, 1000])
def test_more_sessions_than_there_may_be_are_refused_before_the_first_is_made(serve, wires: Wires, queue):
    made = []

    class Noticed(Counter):
        def __init__(self) -> None:
            made.append(self)

    server = serve(Noticed, max_concurrent_envs=3, budgets=Budgets(queue=queue))
    wire = wires(server)
    wire.open(1)
    error = wire.refused("open", count=4)
    assert error["code"] == "CAPACITY_REACHED"
    assert "4 more are wanted" in error["message"]
    assert wire.open(2)
    assert wait_until(lambda: len(made) == 3)
    assert used(server) == 3


def test_a_slot_that_becomes_free_goes_to_whoever_has_waited_longest(serve, both: Wires):
    server = serve(Counter, max_concurrent_envs=1, budgets=PATIENT)
    [held] = both(server).open()
    queue = []
    for place in range(1, 4):
        wire = both(server)
        queue.append((wire, wire.send("open")))
        assert wait_until(lambda place=place: waiting(server) == place)
    for wire, number in queue:
        held.wire.ask("close", session=held.id)
        [opened] = wire.answer(number)["sessions"]
        held.wire, held.id = wire, opened["session"]
    assert waiting(server) == 0


def test_whoever_waits_too_long_is_told_the_place_in_the_queue(serve, both: Wires):
    server = serve(Counter, max_concurrent_envs=1, budgets=Budgets(queue=0.1))
    [held] = both(server).open()
    wires = [both(server) for _ in range(3)]
    numbers = []
    for place, wire in enumerate(wires):
        numbers.append(wire.send("open"))
        assert wait_until(lambda place=place: waiting(server) == place + 1 or waiting(server) == 0)
    errors = [wire.answer(number)["data"] for wire, number in zip(wires, numbers, strict=True)]
    assert {error["code"] for error in errors} == {"CAPACITY_REACHED"}
    assert all("at place 1 of the queue" in error["message"] for error in errors), "those before had given up"
    assert all(error["retry_after"] > 0 for error in errors)
    held.wire.ask("close", session=held.id)
    assert wait_until(lambda: used(server) == 0)


def test_whoever_hangs_up_while_waiting_leaves_the_queue(serve, both: Wires):
    server = serve(Counter, max_concurrent_envs=1, budgets=PATIENT)
    [held] = both(server).open()
    gone, patient = both(server), both(server)
    gone.send("open", count=1)
    assert wait_until(lambda: waiting(server) == 1)
    number = patient.send("open")
    assert wait_until(lambda: waiting(server) == 2)
    gone.drop()
    assert wait_until(lambda: waiting(server) == 1)
    held.wire.ask("close", session=held.id)
    assert patient.answer(number)["type"] == "opened"


def test_sessions_opened_for_a_client_that_hung_up_before_it_was_told_are_ended(serve, both: Wires):
    server = serve(InlineCounter, max_concurrent_envs=3, budgets=Budgets(queue=1000, lease=0.05))
    [held] = both(server).open()
    gone = both(server)
    gone.send("open", count=3)
    assert wait_until(lambda: waiting(server) == 1 and used(server) == 3)
    gone.drop()
    assert wait_until(lambda: waiting(server) == 0 and used(server) == 1)
    held.reset()


def test_closing_the_server_answers_those_who_wait(serve, both: Wires):
    server = serve(Counter, max_concurrent_envs=1, budgets=PATIENT)
    both(server).open()
    wire = both(server)
    number = wire.send("open")
    assert wait_until(lambda: waiting(server) == 1)
    server.stop(wait=False)
    try:
        said = wire.answer(number)["data"]["code"]
    except ConnectionClosed as closed:
        said = closed.rcvd.code if closed.rcvd else None
    assert said in ("CAPACITY_REACHED", "SESSION_LOST", 1001, 1012)


@pytest.mark.usefixtures("short_grace")
def test_a_slot_is_given_away_once_although_its_session_ends_twice(serve, wires: Wires):
    """First its grace is over, and later the step that would not end ends after all."""
    gate = Gate()
    server = serve(gated(gate), max_concurrent_envs=2, budgets=PATIENT)
    hung, other = wires(server).play(), wires(server).play()
    hung.send("step", {"amount": 0})
    gate.wait_for(1)
    hung.wire.ask("close", session=hung.id)
    assert wait_until(lambda: used(server) == 1)
    third = wires(server).play()
    waiter = wires(server)
    number = waiter.send("open")
    assert wait_until(lambda: waiting(server) == 1)
    gate.open()
    assert third.seen(third.send("step", {"amount": 1}))["total"] == 1
    assert (used(server), waiting(server)) == (2, 1)
    other.wire.ask("close", session=other.id)
    assert waiter.answer(number)["type"] == "opened"


def test_capacity_is_told_over_http(serve, wires: Wires):
    server = serve(Blocking, max_concurrent_envs=2, budgets=PATIENT)
    wires(server).open(2)
    wires(server).send("open")
    assert wait_until(lambda: waiting(server) == 1)
    with httpx.Client(trust_env=False) as http:
        told = http.get(f"{server.url}/capacity").json()
    assert told == {"active_sessions": 2, "max_sessions": 2, "waiting": 1}
