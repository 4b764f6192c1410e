"""What the server processes of these tests serve; they import it by name."""

import asyncio
import os

from openenv.environment import Environment
from openenv.models import Action, Observation, State
from openenv.server import create_app
from openenv.server.budgets import Budgets


class Do(Action):
    """Add an amount, or do something else first."""

    amount: int = 1
    what: str = ""


class Seen(Observation):
    """The total so far, and which process counts."""

    total: int
    process: int


class Counter(Environment[Do, Seen, State]):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        self.total = self.steps = 0

    async def reset(self) -> Seen:
        self.total = self.steps = 0
        return self._seen()

    async def step(self, action: Do) -> Seen:
        if action.what == "die":
            os._exit(3)
        if action.what == "hang":
            await asyncio.sleep(3600)
        self.steps += 1
        self.total += action.amount
        return self._seen()

    async def state(self) -> State:
        return State(step_count=self.steps)

    async def get_state(self) -> list[int]:
        return [self.total, self.steps]

    async def set_state(self, value: list[int]) -> None:
        self.total, self.steps = value

    def _seen(self) -> Seen:
        return Seen(total=self.total, process=os.getpid())


app = create_app(Counter, max_concurrent_envs=48)
small = create_app(Counter, max_concurrent_envs=3, budgets=Budgets(queue=20))
