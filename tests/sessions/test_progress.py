"""What an environment reports of a long request: that it comes while the request runs, and never after."""

import time

import pytest
from tests.sessions.environments import Coroutines
from tests.sessions.reporting import KINDS, InProcess, NonBlocking, OnLoop, OnThread
from tests.sessions.wire import Remote, Wires
from tests.wire.raw import Raw

from openenv.environment import Environment
from openenv.server.progress import INTERVAL_S

every_kind = pytest.mark.parametrize("kind", KINDS)


def report(session: Remote, times: int = 1, **fields: object) -> int:
    """Begin a step that reports, and return its id."""
    return session.send("step", {"times": times, **fields})


def stop(session: Remote, number: int) -> None:
    """Cancel a step that hangs, and make sure that nothing comes after its answer."""
    assert session.wire.ask("cancel", target=number)["found"]
    assert until_answered(session, number)[-1]["type"] == "error"
    assert session.wire.has_no_more()


def until_answered(session: Remote, number: int) -> list[dict]:
    """Return the frames of a request; the last is the answer."""
    frames = [session.wire.answer(number)]
    while frames[-1]["type"] == "progress":
        frames.append(session.wire.answer(number))
    return frames


@every_kind
def test_progress_comes_while_the_step_runs(shared, both: Wires, kind):
    session = both(shared(KINDS[kind])).play()
    number = report(session, hang=True)
    assert session.wire.answer(number) == {
        "id": number,
        "type": "progress",
        "session": session.id,
        "data": {"fraction": 1.0, "message": "1 of 1", "number": 1},
    }
    stop(session, number)


@every_kind
def test_what_is_told_from_another_thread_comes_too(shared, both: Wires, kind):
    session = both(shared(KINDS[kind])).play()
    number = report(session, hang=True, elsewhere=True)
    assert session.wire.answer(number)["data"]["number"] == 1
    stop(session, number)


@every_kind
def test_of_many_reports_few_are_sent_and_the_last_before_a_pause_is_among_them(shared, wires: Wires, kind):
    session = wires(shared(KINDS[kind])).play()
    begin = time.monotonic()
    number = report(session, 5000, hang=True)
    told = [0]
    while told[-1] < 5000:
        told.append(session.wire.answer(number)["data"]["number"])
    assert told == sorted(told)
    assert len(told) <= 3 + (time.monotonic() - begin) / INTERVAL_S
    stop(session, number)


@every_kind
def test_no_progress_comes_after_the_answer(shared, wires: Wires, kind):
    session = wires(shared(KINDS[kind])).play()
    for _ in range(20):
        frames = until_answered(session, report(session, 3))
        assert frames[-1]["type"] == "observation"
        assert frames[-1]["data"]["observation"]["copied"], "a copy of the environment reports to nobody"
    time.sleep(2 * INTERVAL_S)  # that nothing comes can not be waited for
    assert session.wire.has_no_more()


@every_kind
def test_a_reset_reports_too(shared, wires: Wires, kind):
    [session] = wires(shared(KINDS[kind])).open()
    frames = until_answered(session, session.send("reset", {"times": 1}))
    assert [frame["type"] for frame in frames] == ["progress", "observation"]


@every_kind
@pytest.mark.parametrize("odd", ["nan", "foreign"])
def test_what_has_no_form_on_the_wire_is_left_out_and_the_step_goes_on(shared, both: Wires, kind, odd):
    session = both(shared(KINDS[kind])).play()
    number = report(session, 0, odd=odd)
    [answer] = until_answered(session, number)
    assert answer["data"]["observation"]["steps"] == 1


def test_what_is_over_the_size_limit_is_left_out(shared, wires: Wires):
    wire = wires.raw(shared(OnThread))
    wire.ask("hello", version=2, max_message_size=4096)
    session = wire.play()
    [answer] = until_answered(session, report(session, 0, odd="huge"))
    assert answer["type"] == "observation"


def test_a_request_for_the_state_has_no_progress(shared, wires: Wires):
    session = wires(shared(InProcess)).play()
    assert session.state()["step_count"] == 0
    assert session.wire.has_no_more()


def test_an_environment_that_does_not_block_tells_nothing(shared, wires: Wires):
    session = wires(shared(NonBlocking)).play()
    [answer] = until_answered(session, report(session, 3))
    assert answer["data"]["observation"]["steps"] == 1


@every_kind
def test_the_progress_of_a_batch_says_whose_it_is(shared, wires: Wires, kind):
    wire = wires(shared(KINDS[kind]))
    quiet, loud = wire.play(), wire.play()
    items = [
        {"session": quiet.id, "seq": 2, "data": {"times": 0}},
        {"session": loud.id, "seq": 2, "data": {"times": 1, "hang": True}},
    ]
    number = wire.send("step_many", items=items)
    frames = [wire.answer(number), wire.answer(number)]
    assert {frame["type"] for frame in frames} == {"progress", "observations"}
    [told] = [frame for frame in frames if frame["type"] == "progress"]
    assert told["session"] == loud.id
    wire.ask("close", session=loud.id)
    assert wire.answer(number)["last"]


def test_after_a_resume_progress_goes_to_the_new_connection(shared, wires: Wires):
    server = shared(OnLoop)
    lost = wires(server).play()
    action = {"times": 1, "ticks": 100_000, "tick_s": 0.001}
    lost.wire.answer(lost.send("step", action))
    lost.wire.drop()
    wire = wires(server)
    session = Remote(wire, lost.id, lost.token)
    wire.ask("resume", session=session.id, token=session.token)
    for _ in range(10):
        wire.send("ping")  # so that the ids of the two connections are not the same
    again = session.send("step", action, seq=2)
    told = wire.answer(again)
    assert (told["type"], told["session"]) == ("progress", session.id)
    assert wire.ask("cancel", target=again)["found"]
    assert until_answered(session, again)[-1]["data"]["code"] == "CANCELLED"


def test_a_step_that_was_given_up_reports_to_nobody(shared, wires: Wires):
    """Its environment goes on, on a thread that can not be stopped."""
    session = wires(shared(OnThread)).play()
    stop(session, report(session, hang=True))
    session.seen(session.send("reset"))
    assert session.wire.has_no_more()


def test_version_1_has_no_progress(shared):
    with Raw(shared(OnThread).url) as socket:
        for frame in ('{"type":"reset","data":{"times":1}}', '{"type":"step","data":{"times":5}}'):
            socket.send(frame)
            assert socket.receive()["type"] == "observation"


def test_an_environment_that_nobody_serves_reports_to_nobody():
    environment = OnThread()
    assert environment.reset(times=3).steps == 0
    assert Environment.progress(environment, 0.5, "half") is None


def test_an_environment_that_says_nothing_has_no_progress(shared, wires: Wires):
    session = wires(shared(Coroutines)).play()
    session.step()
    assert session.wire.has_no_more()
