"""Time budgets, each by its name, wherever an environment runs; and what becomes of one that broke them."""

from collections.abc import Callable
from functools import cache

import pytest
from tests.servers import Host, Server, wait_until
from tests.sessions.environments import KINDS, NEVER_BORN, Coroutines
from tests.sessions.wire import Remote, Wires, hurry, pass_time, used
from tests.toys import Counter, Gate, gated

from openenv.server.budgets import Budgets

SHORT_S = 0.1
HURRIED = Budgets(step=SHORT_S, reset=SHORT_S, state=SHORT_S)
PATIENT = Budgets(step=600, reset=600, state=600)
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def strict(host: Host) -> Callable[[str], Server]:
    """A giver of servers with a budget for everything; there is one for each kind of environment."""
    return cache(lambda kind: host.serve(KINDS[kind], budgets=PATIENT))


def play(server: Server, wires: Wires) -> Remote:
    """Return a session that is allowed little time for anything, once it has begun an episode."""
    session = wires(server).play()
    hurry(server, session, HURRIED)
    return session


def check(error: dict, budget: str, seconds: float = SHORT_S) -> None:
    """Make sure that an error names the budget, and says how to change it."""
    assert error["code"] == "BUDGET_EXCEEDED"
    assert (error["budget"], error["seconds"]) == (budget, seconds)
    assert f"budget of {seconds:g} s" in error["message"]
    assert f"{budget} budget of the server" in error["message"]


@every_kind
def test_a_step_over_its_budget_is_stopped(strict, wires: Wires, kind):
    session = play(strict(kind), wires)
    check(session.error(session.begin("hang")), "step")


@every_kind
def test_a_reset_over_its_budget_is_stopped(strict, wires: Wires, kind):
    session = play(strict(kind), wires)
    check(session.error(session.send("reset", {"trouble": "hang"})), "reset")


@every_kind
def test_reading_the_state_over_its_budget_is_stopped(strict, wires: Wires, kind):
    server = strict(kind)
    session = wires(server).play()
    session.step("hang in state")
    hurry(server, session, HURRIED)
    check(session.wire.refused("state", session=session.id), "state")


@pytest.mark.usefixtures("short_grace")
@every_kind
def test_a_constructor_over_its_budget_ends_the_session(serve, wires: Wires, kind):
    server = serve(NEVER_BORN[kind], budgets=Budgets(create=SHORT_S))
    wire = wires(server)
    [session] = wire.open()
    asked = session.send("reset")
    check(session.error(asked), "create")
    notice = wire.notice()
    assert (notice["type"], notice["session"]) == ("ended", session.id)
    check(notice["data"], "create")
    assert wait_until(lambda: used(server) == 0)


@every_kind
def test_a_request_may_ask_for_less_time(shared, wires: Wires, kind):
    session = wires(shared(KINDS[kind])).play()
    error = session.error(session.send("step", {"what": "hang"}, timeout_s=SHORT_S))
    check(error, "step")
    assert "timeout_s of the request" in error["message"]


def test_a_request_may_not_ask_for_more_time(strict, wires: Wires):
    session = play(strict("coroutine"), wires)
    check(session.error(session.send("step", {"what": "hang"}, timeout_s=1000)), "step")


@pytest.mark.parametrize("timeout_s", [0, -1, "soon"])
def test_what_is_no_time_is_refused(shared, wires: Wires, timeout_s):
    session = wires(shared(Coroutines)).play()
    assert session.error(session.send("step", {}, timeout_s=timeout_s))["code"] == "VALIDATION_ERROR"
    assert session.step()["steps"] == 1


def test_a_request_in_a_batch_has_a_time_of_its_own(serve, wires: Wires):
    wire = wires(serve(Coroutines))
    first, second = wire.play(), wire.play()
    items = [
        {"session": first.id, "seq": 2, "data": {"what": "hang"}, "timeout_s": SHORT_S},
        {"session": second.id, "seq": 2, "data": {}, "timeout_s": 1000},
    ]
    number = wire.send("step_many", items=items)
    given: dict[str, dict] = {}
    while len(given) < 2:
        given |= {one["session"]: one for one in wire.answer(number)["items"]}
    assert given[second.id]["data"]["observation"]["steps"] == 1
    check(given[first.id]["error"], "step")


# --- what comes after ------------------------------------------------------------------------------


def broken(server, wires: Wires) -> Remote:
    """Return a session whose environment has hung in a step."""
    session = play(server, wires)
    session.error(session.begin("hang"))
    hurry(server, session, None)
    return session


@every_kind
def test_a_broken_session_answers_with_what_broke_it_until_it_is_reset(strict, wires: Wires, kind):
    session = broken(strict(kind), wires)
    assert session.phase() == "broken"
    check(session.error(session.begin()), "step")
    check(session.wire.refused("state", session=session.id), "step")
    seen = session.reset()
    assert seen["steps"] == 0
    assert session.phase() == "running"
    assert session.step()["steps"] == 1


@every_kind
def test_the_reset_of_a_broken_session_tells_that_the_environment_is_a_new_one(strict, wires: Wires, kind):
    session = broken(strict(kind), wires)
    answer = session.wire.ask("reset", session=session.id, seq=3)
    [warning] = answer["data"]["info"]["warnings"]
    assert warning.startswith("This is a new environment")
    assert "step budget" in warning
    session.seq = 3
    answer = session.wire.ask("reset", session=session.id, seq=4)
    assert "info" not in answer["data"], "the next reset is on the same one"


def test_what_waits_behind_a_step_that_hangs_is_answered_with_the_fault_and_not_executed(strict, wires: Wires):
    server = strict("coroutine")
    session = play(server, wires)
    numbers = [session.begin("hang"), session.begin(), session.begin()]
    for number in numbers:
        check(session.error(number), "step")
    hurry(server, session, None)
    assert session.reset()["steps"] == 0


def test_a_reset_that_waits_behind_a_step_that_hangs_starts_over(strict, wires: Wires):
    session = wires(strict("coroutine")).play()
    hung, reset = session.send("step", {"what": "hang"}, timeout_s=SHORT_S), session.send("reset")
    check(session.error(hung), "step")
    assert session.seen(reset)["steps"] == 0


def test_the_late_answer_of_a_given_up_environment_is_dropped_and_it_is_closed(serve, wires: Wires):
    gate = Gate()
    closed = []
    environment = gated(gate, close=lambda self: closed.append(self))
    session = wires(serve(environment)).play()
    check(session.error(session.send("step", {"amount": 0}, timeout_s=SHORT_S)), "step")
    session.seen(session.send("reset"))
    gate.open()
    assert wait_until(lambda: len(closed) == 1)
    assert session.seen(session.send("step", {"amount": 3}))["total"] == 3
    assert session.wire.has_no_more()
    session.wire.ask("close", session=session.id)
    assert wait_until(lambda: len(closed) == 2)
    assert closed[0] is not closed[1]


def test_sessions_beside_a_broken_one_are_not_touched(strict, wires: Wires):
    server = strict("coroutine")
    beside = wires(server).play()
    broken(server, wires)
    assert beside.step()["steps"] == 1


# --- idle, lifetime, queue ---------------------------------------------------------------------------


def ended(session: Remote) -> dict:
    """Wait for the notice that a session has ended; return its data."""
    notice = session.wire.notice()
    assert (notice["type"], notice["session"]) == ("ended", session.id)
    assert notice["data"]["code"] == "SESSION_LOST"
    return notice["data"]


def test_a_session_without_requests_ends_and_its_holder_is_told(serve, both: Wires):
    server = serve(Counter, budgets=Budgets(idle=600))
    session = both(server).play()
    pass_time(server, 601)
    message = ended(session)["message"]
    assert "idle budget" in message
    assert "600 s" in message
    assert wait_until(lambda: used(server) == 0)
    refused = session.wire.refused("step", session=session.id, seq=2, data={})
    assert refused["code"] == "SESSION_LOST"
    assert refused["message"] == message


def test_a_session_that_is_busy_is_not_idle(serve, wires: Wires):
    gate = Gate()
    server = serve(gated(gate), budgets=Budgets(idle=600))
    busy, idle = wires(server).play(), wires(server).play()
    number = busy.send("step", {"amount": 0})
    gate.wait_for(1)
    pass_time(server, 601)
    ended(idle)
    gate.open()
    assert busy.seen(number)["total"] == 0


def test_a_session_ends_with_its_lifetime_whatever_it_does(serve, wires: Wires):
    server = serve(Coroutines, budgets=Budgets(lifetime=600))
    session = wires(server).play()
    running = session.begin("hang")
    assert session.wire.has_no_more(), "it has come, and runs"
    pass_time(server, 601)
    message = session.error(running)["message"]
    assert "lifetime budget of 600 s" in message
    assert ended(session)["message"] == message


def test_waiting_for_a_session_has_a_budget(serve, wires: Wires):
    server = serve(Counter, max_concurrent_envs=1, budgets=Budgets(queue=SHORT_S))
    wires(server).open()
    refused = wires(server).refused("open")
    assert refused["code"] == "CAPACITY_REACHED"
    assert "waited 0.1 s (queue budget)" in refused["message"]


def test_a_budget_that_is_none_of_the_names_or_no_time_is_refused():
    for wrong in ({"think": 1}, {"step": 0}, {"step": -1}, {"lease": 0}, {"queue": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Budgets(**wrong)
