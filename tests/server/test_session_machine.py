"""A session against a model of what is legal, driven by Hypothesis along whatever ways it finds."""

import asyncio
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from tests.server.driving import STATE, Answers, manage, opened, reset, step, until
from tests.toys import LAST_TOTAL, AsyncCounter, Counter, InlineCounter

from openenv.server.sessions import Phase

EXECUTED_THEN_FAILED = {
    "raise": "EXECUTION_ERROR",
    "exit": "EXECUTION_ERROR",
    "nan": "SERIALIZATION_ERROR",
    "foreign": "SERIALIZATION_ERROR",
}


class Model:
    """What a session must answer, told in a few lines."""

    def __init__(self) -> None:
        self.phase = Phase.READY
        self.total = self.steps = 0

    def reset(self) -> Any:
        if self.phase is Phase.CLOSED:
            return "SESSION_LOST"
        self.phase, self.total, self.steps = Phase.RUNNING, 0, 0
        return 0

    def step(self, amount: int, trouble: str) -> Any:
        refused = {Phase.CLOSED: "SESSION_LOST", Phase.READY: "NOT_RESET", Phase.ENDED: "EPISODE_ENDED"}
        if self.phase in refused:
            return refused[self.phase]
        self.total += amount
        self.steps += 1
        raised = EXECUTED_THEN_FAILED.get(trouble) == "EXECUTION_ERROR"
        if self.total >= LAST_TOTAL and not raised:  # what raised cannot say that the episode is done
            self.phase = Phase.ENDED
        return EXECUTED_THEN_FAILED.get(trouble, self.total)

    def state(self) -> Any:
        return "SESSION_LOST" if self.phase is Phase.CLOSED else (self.total, self.steps)


class Ready(Counter):
    """Has a state before its first reset."""

    def __init__(self) -> None:
        super().__init__()
        self._start(None)


class ReadyInline(Ready, InlineCounter):
    pass


class ReadyAsync(AsyncCounter):
    def __init__(self) -> None:
        super().__init__()
        self._start(None)


amounts = st.sampled_from([1, 2, 40, LAST_TOTAL])
troubles = st.sampled_from(["", "", "", *EXECUTED_THEN_FAILED])
requests = st.one_of(
    st.just(("reset",)), st.tuples(st.just("step"), amounts, troubles), st.just(("state",)), st.just(("end",))
)


class SessionMachine(RuleBasedStateMachine):
    environment: type

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.manager = manage(self.environment, sessions=2)
        self.session = self.loop.run_until_complete(opened(self.manager))
        self.model = Model()

    def teardown(self) -> None:
        self.loop.run_until_complete(self.manager.close())
        assert self.manager.capacity().active_sessions == 0
        self.loop.close()

    @rule(burst=st.lists(requests, min_size=1, max_size=6))
    def ask_several_at_once(self, burst):
        """All are handed over before the first answer is waited for, as by a client that does not wait."""
        if ("end",) in burst:  # what is still under way then is answered by the end; see the rule below
            burst = [request for request in burst if request != ("end",)]
        self.loop.run_until_complete(self._ask(burst))

    @rule(amount=amounts, trouble=troubles)
    def ask_one(self, amount, trouble):
        self.loop.run_until_complete(self._ask([("step", amount, trouble)]))

    async def _ask(self, burst: list[Any]) -> None:
        answers, expected = Answers(self.session), []
        for verb, *arguments in burst:
            if verb == "step":
                amount, trouble = arguments
                answers.ask(step(amount, trouble=trouble))
                expected.append(self.model.step(amount, trouble))
            else:
                answers.ask(reset() if verb == "reset" else STATE)
                expected.append(self.model.reset() if verb == "reset" else self.model.state())
        await until(lambda: len(answers.order) == len(burst))
        got = [(a["total"], a["step_count"]) if isinstance(a, dict) else a for a in answers()]
        assert got == expected
        assert answers.order == sorted(answers.order)

    @rule(waiting=st.integers(0, 3))
    @precondition(lambda self: self.model.phase is not Phase.CLOSED)
    def end(self, waiting):
        """Whatever is under way is answered once: by what it was, or by the end."""

        async def end() -> None:
            answers = Answers(self.session)
            for _ in range(waiting):
                answers.ask(step(1))
            self.session.end()
            assert len(answers.order) == waiting
            refused = {Phase.READY: "NOT_RESET", Phase.ENDED: "EPISODE_ENDED"}.get(self.model.phase)
            for number, answer in enumerate(answers()):
                assert answer in ("SESSION_LOST", refused, self.model.total + number + 1)

        self.loop.run_until_complete(end())
        self.model.phase = Phase.CLOSED

    @rule()
    @precondition(lambda self: self.model.phase is Phase.CLOSED)
    def open_another(self):
        self.session = self.loop.run_until_complete(opened(self.manager))
        self.model = Model()

    @invariant()
    def the_session_is_where_the_model_is(self):
        assert self.session.phase is self.model.phase

    @invariant()
    def nothing_is_under_way_between_the_rules(self):
        assert self.model.phase is Phase.CLOSED or not self.session.busy


@pytest.mark.parametrize("environment", [Ready, ReadyInline, ReadyAsync])
def test_a_session_does_what_the_model_says(environment):
    machine = type("Machine", (SessionMachine,), {"environment": environment})
    run_machine(machine, settings=settings(max_examples=30, stateful_step_count=20))
