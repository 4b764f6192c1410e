"""The state of a session, and its end: one way out for every reason."""

import asyncio
import threading
import time

import pytest
from tests.server.driving import STATE, Answers, asked, manage, opened, reset, step, until
from tests.toys import AsyncCounter, Counter, Gate, gated

from openenv.errors import SessionLost
from openenv.models import State
from openenv.server.sessions import Phase


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
