"""A session: what is legal when, one request at a time, one answer each, one way out."""

import asyncio
import json
import logging
import threading
import time

import pytest
from tests import shapes
from tests.server.driving import STATE, Answers, asked, manage, opened, reset, step, until
from tests.toys import AsyncCounter, Counter, Gate, InlineCounter, gated

from openenv.errors import SessionLost
from openenv.models import Observation, State, StepResult
from openenv.server.dispatch import ask
from openenv.server.sessions import Phase

COUNTERS = [Counter, InlineCounter, AsyncCounter]


class Anytime(Counter):
    ALLOWS_STEP_WITHOUT_RESET = True

    def __init__(self) -> None:
        super().__init__()
        self._start(None)


PHASES = [
    # phase, how it is reached, what a reset, a step and a state say there
    (Phase.READY, (), (0, "NOT_RESET", "state")),
    (Phase.READY, (reset(trouble="raise"),), (0, "NOT_RESET", "state")),
    (Phase.RUNNING, (reset(),), (0, 1, "state")),
    (Phase.RUNNING, (reset(), step(5)), (0, 6, "state")),
    (Phase.RUNNING, (reset(), step(5, trouble="raise")), (0, 6, "state")),
    (Phase.RUNNING, (reset(), step(5, trouble="foreign")), (0, 6, "state")),
    (Phase.ENDED, (reset(), step(100)), (0, "EPISODE_ENDED", "state")),
    (Phase.ENDED, (reset(), step(100), step(1)), (0, "EPISODE_ENDED", "state")),
    (Phase.RUNNING, (reset(), step(100), reset()), (0, 1, "state")),
    (Phase.READY, (reset(), reset(trouble="raise")), (0, "NOT_RESET", "state")),
]


class Moody(Counter):
    """A counter whose reset raises on request."""

    def __init__(self) -> None:
        super().__init__()
        self._start(None)

    def reset(self, trouble=""):
        if trouble:
            raise LookupError("no such level")
        return self._start(None)


@pytest.mark.parametrize(("phase", "way", "answers"), PHASES, ids=lambda value: str(value)[:50])
@pytest.mark.parametrize("verb", [0, 1, 2], ids=["reset", "step", "state"])
async def test_what_is_legal_in_which_phase(phase, way, answers, verb):
    session = await opened(manage(Moody))
    await asked(session, *way)
    assert session.phase is phase
    [answer] = await asked(session, (reset(), step(1), STATE)[verb])
    assert answer == answers[verb] if verb < 2 else "step_count" in answer
    if answers[verb] in ("NOT_RESET", "EPISODE_ENDED"):
        assert session.phase is phase


async def test_a_closed_session_refuses_everything_at_once():
    session = await opened(manage(Counter))
    session.end()
    assert await asked(session, reset(), step(), STATE) == ["SESSION_LOST"] * 3
    session.end()
    assert session.phase is Phase.CLOSED


async def test_an_environment_may_allow_steps_at_any_time():
    session = await opened(manage(Anytime))
    assert await asked(session, step(2), reset(), step(100), step(1)) == [2, 0, 100, 101]


@pytest.mark.parametrize("counter", COUNTERS)
async def test_a_whole_episode_in_every_way_of_running(counter):
    session = await opened(manage(counter))
    assert await asked(session, reset(), step(3), step(4), step(100), step(1)) == [0, 3, 7, 107, "EPISODE_ENDED"]
    [state] = await asked(session, STATE)
    assert (state["total"], state["step_count"]) == (107, 3)


@pytest.mark.parametrize("shape", shapes.SHAPES)
async def test_an_environment_of_every_shape_is_run(shape):
    session = await opened(manage(shape, sessions=1))
    action = shapes.AddData if shape is shapes.DataclassModels else step().data.__class__
    take = [step().model_copy(update={"data": action(amount=amount)}) for amount in (3, 7, 1)]
    assert await asked(session, reset(seed=1), *take) == [0, 3, 10, "EPISODE_ENDED"]
    [state] = await asked(session, STATE)
    assert (state["total"], state["step_count"]) == (10, 2)


@pytest.mark.parametrize("counter", COUNTERS)
async def test_requests_that_come_at_once_are_answered_in_their_order(counter):
    session = manage(counter).open()  # they may even come before the environment is there
    answers = Answers(session)
    for message in (step(1), reset(), *(step(1) for _ in range(20)), STATE, reset(), step(5)):
        answers.ask(message)
    await until(lambda: len(answers.order) == 25)
    assert answers.order == sorted(answers.order)
    got = answers()
    assert got[:22] == ["NOT_RESET", *range(21)]
    assert got[22]["total"] == 20
    assert got[23:] == [0, 5]


async def test_an_environment_runs_one_request_at_a_time():
    class Overlapping(Counter):
        inside = 0

        def step(self, action):
            type(self).inside += 1
            assert type(self).inside == 1
            time.sleep(0.001)
            type(self).inside -= 1
            return super().step(action)

    session = await opened(manage(Overlapping, sessions=1))
    answers = Answers(session)
    for message in (reset(), *(step(1) for _ in range(10))):
        answers.ask(message)
    await until(lambda: len(answers.order) == 11)
    assert answers() == list(range(11))


async def test_sessions_do_not_wait_for_one_another():
    gate = Gate()
    manager = manage(gated(gate))
    slow, quick = await opened(manager), await opened(manager)
    await asked(slow, reset())
    waiting = Answers(slow)
    waiting.ask(step(0))
    await asyncio.to_thread(gate.wait_for, 1)
    assert await asked(quick, reset(), step(1), step(2)) == [0, 1, 3]
    assert waiting() == [None]
    gate.open()
    await until(lambda: waiting() == [0])


async def test_an_answer_given_from_within_an_answer_keeps_the_order():
    session = await opened(manage(InlineCounter))
    order = []

    def again(reply):
        order.append("first")
        session.step(lambda reply: order.append("third"), step().data)

    session.reset(again)
    session.step(lambda reply: order.append("later"), step().data)
    assert order == ["first", "third", "later"]


# --- what goes wrong ------------------------------------------------------------------------------


class Hostile(Exception):
    def __str__(self) -> str:
        raise SystemExit("even this")


class Raising(Counter):
    """Raises what it is told to."""

    error: BaseException = LookupError("no such key")

    def step(self, action):
        if action.amount == 0:
            raise self.error
        return super().step(action)


class RaisingInline(Raising):
    NON_BLOCKING = True


class RaisingAsync(AsyncCounter):
    error: BaseException = LookupError()

    async def step(self, action):
        if action.amount == 0:
            raise self.error
        return await super().step(action)


@pytest.mark.parametrize(
    ("error", "name", "message"),
    [
        (LookupError("no such key: 'x'"), "LookupError", "LookupError: no such key: 'x'"),
        (SystemExit(3), "SystemExit", "3"),
        (KeyboardInterrupt(), "KeyboardInterrupt", "KeyboardInterrupt"),
        (Hostile(), "Hostile", "Hostile: (its message could not be read)"),
        (asyncio.CancelledError(), "CancelledError", "CancelledError"),
        (StopIteration(), "StopIteration", "StopIteration"),
        (ExceptionGroup("several", [ValueError("a")]), "ExceptionGroup", "several"),
        (type("Ünusual", (Exception,), {})("ä"), "Ünusual", "Ünusual: ä"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
@pytest.mark.parametrize("environment", [Raising, RaisingInline, RaisingAsync])
async def test_whatever_a_step_raises_is_told_and_the_session_goes_on(environment, error, name, message, caplog):
    session = await opened(manage(type("Env", (environment,), {"error": error})))
    await asked(session, reset(), step(2))
    reply = await ask(session, step(0))
    assert reply.error.code == "EXECUTION_ERROR"
    assert message in reply.error.message
    wrapped = environment is RaisingAsync and name in ("SystemExit", "KeyboardInterrupt", "StopIteration")
    assert reply.error.exception == ("RuntimeError" if wrapped else name)
    json.loads(reply.data)
    assert await asked(session, step(3)) == [5]


async def test_a_message_that_is_no_text_in_any_encoding_is_told_as_far_as_it_is(caplog):
    caplog.set_level(logging.CRITICAL, "openenv.server")  # the same text would break the report of this test
    session = await opened(manage(type("Env", (Raising,), {"error": ValueError("lone \ud800")})))
    await asked(session, reset())
    reply = await ask(session, step(0))
    assert json.loads(reply.data)["message"] == "ValueError: lone \\ud800"
    assert await asked(session, step(3)) == [3]


async def test_the_traceback_is_in_the_log_under_the_id_and_not_in_the_answer(caplog):
    session = await opened(manage(Raising))
    await asked(session, reset())
    with caplog.at_level(logging.ERROR, "openenv.server"):
        reply = await ask(session, step(0))
    [record] = caplog.records
    assert reply.error.error_id in record.getMessage()
    assert session.id in record.getMessage()
    assert record.exc_info[1] is Raising.error
    assert b"Traceback" not in reply.data
    assert b".py" not in reply.data


async def test_a_server_may_keep_class_and_message_to_itself():
    session = await opened(manage(Raising, expose_errors=False))
    await asked(session, reset())
    reply = await ask(session, step(0))
    assert reply.error.message == "The environment failed in step"
    assert reply.error.exception is None
    assert reply.error.error_id


async def test_a_reset_that_fails_leaves_no_episode():
    session = await opened(manage(Moody))
    await asked(session, reset(), step(3))
    before = session.info()
    assert await asked(session, reset(trouble="raise"), step(1)) == ["EXECUTION_ERROR", "NOT_RESET"]
    assert before.episode_id is not None
    assert session.info().episode_id is None
    assert session.info().step_count == 0


@pytest.mark.parametrize("returned", [None, {"total": 1}, (1, 2), StepResult], ids=repr)
async def test_a_step_that_returns_something_else_is_an_error_that_says_what_to_return(returned):
    class Wrong(Counter):
        def step(self, action):
            return returned

    session = await opened(manage(Wrong))
    await asked(session, reset())
    reply = await ask(session, step())
    assert reply.error.code == "EXECUTION_ERROR"
    assert "return an Observation or a StepResult" in reply.error.message


async def test_an_observation_that_breaks_the_serialiser_does_not_break_the_session():
    class Breaks(Observation):
        @property
        def total(self) -> int:
            return 1

        def __getattribute__(self, name):
            if name == "metadata":
                raise SystemExit("from an attribute")
            return super().__getattribute__(name)

    class Environment(Counter):
        def step(self, action):
            return Breaks() if action.amount == 0 else super().step(action)

    session = await opened(manage(Environment))
    await asked(session, reset())
    [code] = await asked(session, step(0))
    assert code in ("EXECUTION_ERROR", "SERIALIZATION_ERROR")
    assert await asked(session, step(2)) == [2]


# --- the state ------------------------------------------------------------------------------------


async def test_what_a_state_leaves_open_is_filled_in_from_the_servers_own_count():
    class Bare(Counter):
        @property
        def state(self):
            return State(mood="good")

    session = await opened(manage(Bare))
    await asked(session, reset(episode_id="mine"), step(), step())
    [state] = await asked(session, STATE)
    assert (state["episode_id"], state["step_count"], state["mood"]) == ("mine", 2, "good")
    assert 0 < state["elapsed_time"] < 10


async def test_what_a_state_says_itself_is_kept():
    class Opinionated(Counter):
        @property
        def state(self):
            return State(episode_id="its own", step_count=77, elapsed_time=1.5)

    session = await opened(manage(Opinionated))
    await asked(session, reset(episode_id="mine"), step())
    assert await asked(session, STATE) == [{"episode_id": "its own", "step_count": 77, "elapsed_time": 1.5}]


@pytest.mark.parametrize("state", [None, {"free": "form"}], ids=repr)
async def test_a_state_may_be_nothing_or_a_dictionary(state):
    class Environment(Counter):
        pass

    Environment.state = property(lambda self: state)
    session = await opened(manage(Environment))
    await asked(session, reset(episode_id="mine"))
    [answer] = await asked(session, STATE)
    assert answer == state if state else answer["episode_id"] == "mine"


async def test_every_episode_has_an_id_of_its_own_unless_one_is_given():
    session = await opened(manage(Counter))
    ids = []
    for message in (reset(), reset(), reset(episode_id="mine")):
        await asked(session, message)
        ids.append(session.info().episode_id)
    assert len(set(ids)) == 3
    assert ids[2] == "mine"


# --- the way out ----------------------------------------------------------------------------------


class Closing(Counter):
    """Tells how often it was closed."""

    closed = 0

    def close(self):
        type(self).closed += 1


@pytest.mark.parametrize("busy", [False, True], ids=["at rest", "in a step"])
async def test_the_end_answers_everything_and_closes_the_environment_once(busy):
    gate = Gate()

    class Environment(Closing, gated(gate)):
        closed = 0

    manager = manage(Environment)
    session = await opened(manager)
    await asked(session, reset())
    answers = Answers(session)
    if busy:
        for message in (step(0), step(1), STATE):
            answers.ask(message)
        await asyncio.to_thread(gate.wait_for, 1)
    session.end(SessionLost("over"))
    assert answers() == ["SESSION_LOST"] * (3 if busy else 0)
    assert Environment.closed == 0 or not busy
    gate.open()
    await until(lambda: manager.capacity().active_sessions == 0)
    assert Environment.closed == 1
    assert session.phase is Phase.CLOSED
    answers()


async def test_a_coroutine_that_runs_is_cancelled_at_the_end():
    cancelled = threading.Event()

    class Sleeping(AsyncCounter):
        async def step(self, action):
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

    manager = manage(Sleeping)
    session = await opened(manager)
    await asked(session, reset())
    answers = Answers(session)
    answers.ask(step())
    await asyncio.sleep(0)
    session.end()
    await until(lambda: manager.capacity().active_sessions == 0)
    assert cancelled.is_set()
    assert answers() == ["SESSION_LOST"]


async def test_a_session_ended_while_its_environment_is_made_closes_it_when_it_is_there():
    gate = Gate()

    class Slow(Closing):
        closed = 0

        def __init__(self) -> None:
            super().__init__()
            gate.pass_through()

    manager = manage(Slow)
    session = manager.open()
    answers = Answers(session)
    answers.ask(reset())
    await asyncio.to_thread(gate.wait_for, 1)
    session.end()
    assert answers() == ["SESSION_LOST"]
    assert manager.capacity().active_sessions == 1
    gate.open()
    await until(lambda: manager.capacity().active_sessions == 0)
    assert Slow.closed == 1


@pytest.mark.parametrize("error", [RuntimeError("cannot close"), SystemExit(1)], ids=repr)
async def test_an_environment_that_cannot_be_closed_gives_its_slot_back_all_the_same(error, caplog):
    class Stubborn(Counter):
        def close(self):
            raise error

    manager = manage(Stubborn)
    session = await opened(manager)
    session.end()
    await until(lambda: manager.capacity().active_sessions == 0)
    assert "close failed" in caplog.text


async def test_a_constructor_that_fails_ends_the_session_with_the_reason(caplog):
    class Unbuildable(Counter):
        def __init__(self) -> None:
            raise OSError("no board")

    told = []
    manager = manage(Unbuildable)
    session = manager.open(on_end=told.append)
    answers = Answers(session)
    answers.ask(reset())
    await until(lambda: manager.capacity().active_sessions == 0)
    assert answers() == ["FACTORY_ERROR"]
    assert [error.code for error in told] == ["FACTORY_ERROR"]
    assert "OSError: no board" in told[0].message
    assert told[0].error_id in caplog.text


async def test_an_async_close_is_awaited():
    closed = []

    class Environment(AsyncCounter):
        async def close(self):
            await asyncio.sleep(0)
            closed.append(1)

    manager = manage(Environment)
    session = await opened(manager)
    session.end()
    await until(lambda: manager.capacity().active_sessions == 0)
    assert closed == [1]


async def test_info_says_how_a_session_stands():
    session = await opened(manage(Counter))
    info = session.info()
    assert (info.phase, info.episode_id, info.step_count) == ("ready", None, 0)
    assert info.environment_type == "Counter"
    await asked(session, reset(episode_id="e"), step())
    info = session.info()
    assert (info.phase, info.episode_id, info.step_count) == ("running", "e", 1)
    assert info.created_at <= info.last_activity_at <= time.time()
