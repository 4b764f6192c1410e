"""The environments that the pages of `docs` play on: the counter of the README, and two whose steps take time."""

import asyncio

from openenv.environment import Environment
from openenv.models import Action, Observation, State


class Add(Action):
    amount: int


class Total(Observation):
    total: int


class Counter(Environment[Add, Total, State]):
    """Reach ten."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed: int | None = None) -> Total:
        self.total, self.steps = (seed or 0) % 5, 0
        return Total(total=self.total)

    def step(self, action: Add) -> Total:
        self.total, self.steps = self.total + action.amount, self.steps + 1
        return Total(total=self.total, reward=float(self.total == 10), done=self.total >= 10)

    @property
    def state(self) -> State:
        return State(step_count=self.steps)


class Keeper(Counter):
    """The same, and tells its state."""

    def get_state(self) -> list[int]:
        return [self.total, self.steps]

    def set_state(self, value: list[int]) -> None:
        self.total, self.steps = value


class Nap(Action):
    seconds: float


class Awake(Observation):
    """Nothing to see."""


class Napper(Environment[Nap, Awake, State]):
    """Sleeps for as long as it is told."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    async def reset(self) -> Awake:
        return Awake()

    async def step(self, action: Nap) -> Awake:
        await asyncio.sleep(action.seconds)
        return Awake()

    async def state(self) -> State:
        return State()


class Dig(Action):
    metres: int


class Digger(Environment[Dig, Observation, State]):
    """Says how far it is."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    async def reset(self) -> Observation:
        return Observation()

    async def step(self, action: Dig) -> Observation:
        self.progress(0.5, f"{action.metres // 2} m of {action.metres} m", soil="clay")
        await asyncio.sleep(0.01)
        return Observation(reward=1.0)

    async def state(self) -> State:
        return State()


NAMES = {"counter": Counter, "keeper": Keeper, "napper": Napper, "digger": Digger}
