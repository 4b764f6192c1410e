"""A small environment that keeps the contract, for tests to break in one place."""

import random
import threading
from typing import Any
from uuid import uuid4

import numpy as np

from openenv.environment import Environment
from openenv.models import Action, Observation, State, StepResult


class Add(Action):
    amount: int


class Count(Observation):
    total: int
    drawn: float = 0.0


class Picture(Observation):
    pixels: np.ndarray


class Counting(Environment[Add, Count, State]):
    """Count to five."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self.total, self._state, self._random = 0, State(), random.Random()

    def reset(self, seed: int | None = None, episode_id: str | None = None) -> Any:
        self.total, self._random = 0, random.Random(seed)
        self._state = State(episode_id=episode_id or uuid4().hex)
        return self.answer()

    def step(self, action: Add) -> Any:
        self.total += action.amount
        self._state.step_count += 1
        return self.answer()

    def answer(self) -> Any:
        return Count(total=self.total, drawn=self._random.random(), done=self.total >= 5, reward=1.0)

    @property
    def state(self) -> State:
        return self._state


class Async(Counting):
    """It does the same as a coroutine, and answers with a StepResult."""

    async def reset(self, seed: int | None = None, episode_id: str | None = None) -> Count:
        return super().reset(seed, episode_id)

    async def step(self, action: Add) -> StepResult[Count]:
        observation = super().step(action)
        return StepResult(observation, observation.reward, observation.done)

    async def close(self) -> None:
        self.total = 0


class OnOneThread(Counting):
    """It may be called from the thread that made it, and from no other."""

    REQUIRES_SINGLE_THREAD_EXECUTOR = True

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()

    def answer(self) -> Count:
        assert self.thread == threading.get_ident()
        return super().answer()


class Alone(Counting):
    """There can be one of it."""

    SUPPORTS_CONCURRENT_SESSIONS = False


class Unseeded(Environment[Add, Count, State]):
    """It takes no seed and keeps no ids; the server does."""

    def reset(self) -> Count:
        self.total = 0
        return Count(total=0)

    def step(self, action: Add) -> Count:
        self.total += action.amount
        return Count(total=self.total, done=self.total >= 5)

    @property
    def state(self) -> State:
        return State()


class Drawing(Environment[Add, Picture, State]):
    """It answers with arrays, without end."""

    ALLOWS_STEP_WITHOUT_RESET = True

    def reset(self) -> Picture:
        return Picture(pixels=np.zeros((2, 3), np.uint8))

    def step(self, action: Add) -> Picture:
        return Picture(pixels=np.full((2, 3), action.amount, np.float32), metadata={"raw": b"\0"})

    @property
    def state(self) -> State:
        return State()
