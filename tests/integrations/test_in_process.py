"""Environments by blocking verbs, in whatever way they are written."""

import asyncio

import pytest

from openenv.environment import Environment
from openenv.integrations.in_process import blocking
from openenv.models import Action, Observation, State, StepResult


class Add(Action):
    amount: int


class Total(Observation):
    total: int


class Plain(Environment[Add, Total, State]):
    def __init__(self, start: int = 0) -> None:
        super().__init__()
        self.start, self.closed = start, 0

    def reset(self, seed: int | None = None) -> Total:
        self.total = self.start + (seed or 0)
        return Total(total=self.total)

    def step(self, action: Add) -> Total:
        self.total += action.amount
        return Total(total=self.total, reward=1.0, done=self.total >= 10)

    @property
    def state(self) -> State:
        return State(step_count=self.total)

    def close(self) -> None:
        self.closed += 1


class Coroutines(Plain):
    async def reset(self, seed: int | None = None) -> Total:
        await asyncio.sleep(0)
        return Plain.reset(self, seed)

    async def step(self, action: Add) -> StepResult[Total]:
        await asyncio.sleep(0)
        seen = Plain.step(self, action)
        return StepResult(Total(total=seen.total), reward=seen.reward, terminated=seen.done)

    async def state(self) -> State:
        return State(step_count=self.total)

    async def close(self) -> None:
        self.closed += 1


def play(cls):
    env = blocking(cls)(start=1)
    try:
        first = env.reset(seed=2)
        assert (first.total, first.reward, first.done) == (3, None, False)
        seen = env.step(Add(amount=7))
        assert (type(seen), seen.total, seen.reward, seen.done) == (Total, 10, 1.0, True)
        assert env.state.step_count == 10
    finally:
        env.close()
    assert env.environment.closed == 1


@pytest.mark.parametrize("cls", [Plain, Coroutines])
def test_every_form_has_the_same_verbs(cls):
    play(cls)


@pytest.mark.parametrize("cls", [Plain, Coroutines])
async def test_they_may_be_called_inside_a_running_loop(cls):
    play(cls)


def test_what_the_environment_does_not_take_is_left_out():
    env = blocking(Plain)()
    env.reset(seed=1, episode_id="e", colour="red")
    env.close()
