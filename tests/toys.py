"""Small environments that do on request whatever an environment can do."""

import threading
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import field_validator

from openenv.client import EnvClient
from openenv.environment import Environment
from openenv.models import Action, Observation, State

LAST_TOTAL = 100
"""The total at which an episode of the counter ends."""

UNLUCKY = 13
"""An amount that the action's own validator refuses with a plain ValueError."""

Trouble = Literal["", "raise", "exit", "nan", "foreign", "surrogate", "large"]


class Add(Action):
    """Add an amount, or make the environment misbehave in a named way after adding it."""

    amount: int = 1
    trouble: Trouble = ""

    @field_validator("amount")
    @classmethod
    def _is_lucky(cls, amount: int) -> int:
        if amount == UNLUCKY:
            raise ValueError("an unlucky number")
        return amount


class Count(Observation):
    """The total so far."""

    total: int
    extra: Any = None


class Tally(State):
    """The total as a typed field of the state."""

    total: int = 0


class NoJson:
    """A value of a class that has no JSON form."""


def make_trouble(trouble: Trouble, observation: Count) -> None:
    """Do what the action asked for."""
    if trouble == "raise":
        raise LookupError("no such key: 'x'")
    if trouble == "exit":
        raise SystemExit(3)
    extras = {"nan": float("nan"), "foreign": NoJson(), "surrogate": "\ud800", "large": "x" * 3_000_000}
    observation.extra = extras.get(trouble)


class _Counting:
    """What the three counters share; they differ in how the server calls them."""

    def _start(self, episode_id: str | None) -> Count:
        self.tally = Tally(episode_id=episode_id)
        return Count(total=0)

    def _add(self, action: Add) -> Count:
        self.tally.step_count += 1
        self.tally.total += action.amount
        total = self.tally.total
        observation = Count(total=total, reward=float(action.amount), done=total >= LAST_TOTAL)
        make_trouble(action.trouble, observation)
        return observation

    def get_state(self) -> Tally:
        return self.tally

    def set_state(self, value: Tally) -> None:
        self.tally = value


class Counter(_Counting, Environment[Add, Count, Tally]):
    """Runs on a thread."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed: int | None = None, episode_id: str | None = None) -> Count:
        return self._start(episode_id)

    def step(self, action: Add) -> Count:
        return self._add(action)

    @property
    def state(self) -> Tally:
        return self.tally


class InlineCounter(Counter):
    """Runs on the event loop, directly."""

    NON_BLOCKING = True


class AsyncCounter(_Counting, Environment[Add, Count, Tally]):
    """Runs on the event loop, as coroutines."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    async def reset(self, seed: int | None = None, episode_id: str | None = None) -> Count:
        return self._start(episode_id)

    async def step(self, action: Add) -> Count:
        return self._add(action)

    async def state(self) -> Tally:
        return self.tally


class CounterEnv(EnvClient[Add, Count, Tally]):
    """The client of any of the three."""


class Gate:
    """Lets a test hold environments in a step and see how many are in it."""

    def __init__(self) -> None:
        self._entered = threading.Semaphore(0)
        self._open = threading.Event()

    def pass_through(self) -> None:
        """Wait, in a step, until the test opens the gate."""
        self._entered.release()
        if not self._open.wait(30):
            raise TimeoutError("the gate was never opened")

    def wait_for(self, number: int, within_s: float = 10.0) -> None:
        """Wait, in a test, until so many more have come to the gate."""
        for _ in range(number):
            assert self._entered.acquire(timeout=within_s), "too few environments came to the gate"

    def open(self) -> None:
        """Let everyone through, from now on."""
        self._open.set()


def gated(gate: Gate, **flags: Any) -> type[Counter]:
    """Return a counter whose step waits at the gate if the amount is 0."""

    class GatedCounter(Counter):
        def step(self, action: Add) -> Count:
            if action.amount == 0:
                gate.pass_through()
            return super().step(action)

    for name, value in flags.items():
        setattr(GatedCounter, name, value)
    return GatedCounter


def told_long(gate: Gate) -> type[Counter]:
    """Return such a counter that runs on the event loop, and says that a step of 0 takes long."""
    return gated(gate, NON_BLOCKING=True, takes_long=_amount_is_0)


def _amount_is_0(_environment: Counter, verb: str, arguments: Mapping[str, Any]) -> bool:
    return verb == "step" and arguments["action"].amount == 0
