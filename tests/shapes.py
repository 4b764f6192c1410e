"""One counting environment in every shape people write environments in.

Each can be reset, counts up by the amount of an `Add`, rewards with that amount and tells its total in its state.
"""

from dataclasses import dataclass
from typing import Any

from tests.toys import Add, Count, Tally

from openenv.environment import Environment
from openenv.environment.base import Transform
from openenv.models import Action, Observation, State, StepResult


class Double(Action):
    """Doubles the total."""

    times: int


@dataclass
class AddData(Action):
    amount: int = 1


@dataclass
class CountData(Observation):
    total: int


class Base(Environment[Add, Count, Tally]):
    """What is the same in most: sync, observations, a property. The others change one thing each."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self.tally = Tally()

    def start(self, episode_id: str | None = None) -> Count:
        self.tally = Tally(episode_id=episode_id)
        return Count(total=0)

    def add(self, amount: int) -> Count:
        self.tally.step_count += 1
        self.tally.total += amount
        return Count(total=self.tally.total, reward=float(amount), done=self.tally.total >= 10)

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Any:
        return self.start(episode_id)

    def step(self, action: Add, timeout_s: float | None = None, **kwargs: Any) -> Any:
        return self.add(action.amount)

    @property
    def state(self) -> Any:
        return self.tally


class SyncObservation(Base):
    pass


class SyncStepResult(Base):
    def reset(self, seed=None):
        return StepResult(self.start())

    def step(self, action):
        seen = self.add(action.amount)
        return StepResult(Count(total=seen.total), seen.reward, seen.done, info={"by": "result"})


class AsyncObservation(Base):
    async def reset(self, seed=None):
        return self.start()

    async def step(self, action):
        return self.add(action.amount)


class AsyncEverything(Base):
    async def reset(self, seed=None):
        return StepResult(observation=self.start(), reward=None, done=False, info={})

    async def step(self, action):
        seen = self.add(action.amount)
        return StepResult(observation=seen, reward=seen.reward, done=seen.done, info={})

    async def state(self):
        return self.tally


class AsyncResetSyncStep(Base):
    async def reset(self, seed=None):
        return self.start()


class StateMethod(Base):
    def state(self):
        return self.tally


class StateAsyncProperty(Base):
    @property
    async def state(self):
        return self.tally


class StepAsyncOverride(Base):
    def step(self, action):
        raise NotImplementedError("the async one is meant")

    async def step_async(self, action, timeout_s=None, **kwargs):
        return self.add(action.amount)


class BothAsyncOverrides(StepAsyncOverride):
    def reset(self):
        raise NotImplementedError("the async one is meant")

    async def reset_async(self, seed=None, episode_id=None, **kwargs):
        return self.start()


class SyncThatReturnsACoroutine(Base):
    def reset(self, seed=None):
        return self._later(self.start())

    def step(self, action):
        return self._later(self.add(action.amount))

    async def _later(self, value):
        return value


class NoSuperInit(Base):
    def __init__(self) -> None:
        self.tally = Tally()


class TakesNothing(Base):
    def reset(self):
        return self.start()


class TakesAnything(Base):
    def reset(self, **kwargs):
        return self.start()

    def step(self, action, **kwargs):
        return self.add(action.amount)


class AnnotationsOnly(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed: int | None = None) -> Count:
        self.tally = Tally()
        return Count(total=0)

    def step(self, action: Add) -> Count:
        self.tally.step_count += 1
        self.tally.total += action.amount
        return Count(total=self.tally.total, reward=float(action.amount), done=self.tally.total >= 10)

    @property
    def state(self) -> Tally:
        return self.tally


class AnnotatedByStepResult(AnnotationsOnly):
    async def reset(self, seed: "int | None" = None) -> "StepResult[Count]":
        return StepResult(super().reset(seed))

    async def step(self, action: "Add") -> "StepResult[Count]":
        seen = super().step(action)
        return StepResult(seen, seen.reward, seen.done)


class UnionAction(Environment[Add | Double, Count, Tally]):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed=None):
        self.tally = Tally()
        return Count(total=0)

    def step(self, action):
        self.tally.step_count += 1
        more = action.amount if isinstance(action, Add) else self.tally.total * (action.times - 1)
        self.tally.total += more
        return Count(total=self.tally.total, reward=float(more), done=self.tally.total >= 10)

    @property
    def state(self):
        return self.tally


class UnionAnnotation(UnionAction):
    def step(self, action: Add | Double) -> Count:
        return super().step(action)


class DuckTyped:
    """Of no base class, with its state as a plain attribute."""

    def __init__(self) -> None:
        self.state = Tally()

    def reset(self, seed: int | None = None) -> Count:
        self.state = Tally()
        return Count(total=0)

    def step(self, action: Add) -> Count:
        self.state.step_count += 1
        self.state.total += action.amount
        return Count(total=self.state.total, reward=float(action.amount), done=self.state.total >= 10)


class Grading(Transform[Count]):
    def __call__(self, observation: Count) -> Count:
        return observation.model_copy(update={"extra": "graded"})


class TransformAndRubric(Base):
    def __init__(self) -> None:
        Environment.__init__(self, transform=Grading(), rubric=lambda action, _: float(action.amount))

    def reset(self, seed=None):
        self._reset_rubric()
        return self._apply_transform(self.start())

    def step(self, action):
        observation = self.add(action.amount)
        observation.reward = self._apply_rubric(action, observation)
        return self._apply_transform(observation)


class DataclassModels(Environment[AddData, CountData, State]):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed=None):
        self._state = State(total=0)
        return CountData(0)

    def step(self, action):
        self._state.step_count += 1
        self._state.total += action.amount
        return CountData(self._state.total, reward=float(action.amount), done=self._state.total >= 10)

    @property
    def state(self):
        return self._state


SHAPES = [
    *(SyncObservation, SyncStepResult, AsyncObservation, AsyncEverything, AsyncResetSyncStep, StateMethod),
    *(StateAsyncProperty, StepAsyncOverride, BothAsyncOverrides, SyncThatReturnsACoroutine, NoSuperInit),
    *(TakesNothing, TakesAnything, AnnotationsOnly, AnnotatedByStepResult, UnionAction, UnionAnnotation),
    *(DuckTyped, TransformAndRubric, DataclassModels),
]
