"""A session: what is legal when, one request at a time, one answer each, one way out."""

import asyncio
import json
import time
from typing import Any

import pytest
from tests import shapes
from tests.server.driving import STATE, Answers, Moody, asked, manage, opened, reset, step, until
from tests.toys import Add, AsyncCounter, Counter, Gate, InlineCounter, gated

from openenv.server.inquiries import Inquiry
from openenv.server.requests import Request
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


class Shown(InlineCounter):
    """Shows people where it stands."""

    def render_web(self, observation):
        return f"total {observation.total}"


async def test_people_are_shown_the_last_observation_whatever_way_the_step_was_taken():
    session = await opened(manage(Shown))
    await asked(session, reset())
    answer = session.step_now(1, Add(amount=3))
    assert answer is not None
    views: list[Any] = []
    session.submit(Request(Inquiry("view"), lambda reply: views.append(json.loads(reply.data))))
    assert views == [{"text": "total 3"}]


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


class Naming(Counter):
    """Gives its episodes ids of its own, whatever it is asked for."""

    def reset(self, seed=None, episode_id=None):
        self.number = getattr(self, "number", 0) + 1
        return super().reset(episode_id=f"mine-{self.number}")


class NamingInline(Naming):
    NON_BLOCKING = True


class NamingAsync(AsyncCounter):
    async def reset(self, seed=None, episode_id=None):
        self.number = getattr(self, "number", 0) + 1
        return self._start(f"mine-{self.number}")


@pytest.mark.parametrize("environment", [Naming, NamingInline, NamingAsync])
async def test_an_episode_has_the_id_that_its_environment_gives_it_once_its_state_has_been_read(environment):
    session = await opened(manage(environment))
    for number in (1, 2):
        await asked(session, reset(episode_id="theirs"))
        assert session.info().episode_id == "theirs"
        await asked(session, STATE)
        assert session.info().episode_id == f"mine-{number}"
    session.end()
