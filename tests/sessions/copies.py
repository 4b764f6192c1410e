"""Environments whose episodes are kept and forked: some tell their state, others have a process to fork."""

import asyncio
import os
import random
import threading
from typing import Any

from tests.servers import wait_until
from tests.sessions.environments import release

from openenv.client import EnvClient
from openenv.environment import Environment
from openenv.models import Action, Model, Observation, State


class Roll(Action):
    """What to do in a step: nothing but rolling dice, or a deed of that name."""

    sides: int = 6
    deed: str = ""


class Rolled(Observation):
    """All that was rolled in this episode, by each generator; and what a deed has said."""

    own: list[int]
    common: list[int]
    said: str = ""


class _Dice:
    """A game whose state is two random generators and what they have given."""

    def __init__(self) -> None:
        self.own: list[int] = []
        self.common: list[int] = []
        self.generator = random.Random()
        self.wait_in_get_state = threading.Event()
        self.wait_in_get_state.set()

    def begin(self, seed: int | None) -> Rolled:
        self.own, self.common = [], []
        self.generator.seed(seed)
        random.seed(seed)
        return self.seen()

    def roll(self, action: Roll) -> Rolled:
        said = getattr(self, f"do_{action.deed}")() if action.deed else ""
        self.own.append(self.generator.randrange(action.sides))
        self.common.append(random.randrange(action.sides))
        return self.seen(said)

    def seen(self, said: str | None = "") -> Rolled:
        done = len(self.own) >= 50
        return Rolled(
            own=self.own[:], common=self.common[:], said=said or "", reward=float(sum(self.own)), done=done
        )

    def do_pid(self) -> str:
        return str(os.getpid())

    def do_thread(self) -> None:
        threading.Thread(target=release.wait, args=(60,), name="a thread of mine", daemon=True).start()

    def do_die(self) -> None:
        os._exit(7)

    def do_report(self) -> None:
        for number in range(3):
            self.progress(number / 3)  # type: ignore[attr-defined]

    def do_end(self) -> None:
        self.own += [0] * 50


class Dice(_Dice, Environment[Roll, Rolled, State]):
    """Says nothing of its state, and gets a process of its own."""

    def reset(self, seed: int | None = None) -> Rolled:
        return self.begin(seed)

    def step(self, action: Roll) -> Rolled:
        return self.roll(action)

    @property
    def state(self) -> State:
        return State(step_count=len(self.own), episode_id="the dice's own")


class AsyncDice(_Dice, Environment[Roll, Rolled, State]):
    """The same as coroutines, with a lock and a task that outlive a step."""

    async def reset(self, seed: int | None = None) -> Rolled:
        self.lock = asyncio.Lock()
        self.ticks = 0
        self.clock = asyncio.ensure_future(self._tick())
        return self.begin(seed)

    async def step(self, action: Roll) -> Rolled:
        async with self.lock:
            before = self.ticks
            while self.ticks == before:
                await asyncio.sleep(0.001)
            return self.roll(action)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.001)
            self.ticks += 1

    async def state(self) -> State:
        return State(step_count=len(self.own))

    async def close(self) -> None:
        self.clock.cancel()


class Kept(Model):
    """The state of the dice that tell it."""

    own: list[int]
    generator: Any
    waits: bool = False


hold = threading.Event()
"""Whether `get_state` waits, in the process of the tests."""

held = threading.Event()
"""Set when it does."""


class _Telling:
    def get_state(self: Any) -> dict[str, Any]:
        if hold.is_set():
            held.set()
            release.wait(60)
        version, numbers, gauss = self.generator.getstate()
        return {"own": self.own, "generator": [version, list(numbers), gauss]}

    def set_state(self: Any, value: dict[str, Any]) -> None:
        version, numbers, gauss = value["generator"]
        self.own = value["own"]
        self.generator.setstate((version, tuple(numbers), gauss))

    def reseed(self: Any, seed: int) -> None:
        self.generator.seed(seed)

    def seen(self: Any, said: str | None = "") -> Rolled:
        done = len(self.own) >= 50
        return Rolled(own=self.own[:], common=[], said=said or "", reward=float(sum(self.own)), done=done)


class TellingDice(_Telling, Dice):
    """On a thread, and tells its state."""

    SUPPORTS_CONCURRENT_SESSIONS = True


class InlineTellingDice(TellingDice):
    """On the event loop."""

    NON_BLOCKING = True


class ProcessTellingDice(_Telling, Dice):
    """In a process of its own, and tells its state."""


class CoroutineTellingDice(_Dice, Environment[Roll, Rolled, State]):
    """On the event loop, as coroutines; its state is a model."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    async def reset(self, seed: int | None = None) -> Rolled:
        return self.begin(seed)

    async def step(self, action: Roll) -> Rolled:
        return self.roll(action)

    async def state(self) -> State:
        return State(step_count=len(self.own))

    async def get_state(self) -> Kept:
        return Kept(own=self.own, generator=self.generator.getstate())

    async def set_state(self, value: Kept) -> None:
        version, numbers, gauss = value.generator
        self.own = value.own
        self.generator.setstate((version, tuple(numbers), gauss))

    async def reseed(self, seed: int) -> None:
        self.generator.seed(seed)

    def seen(self, said: str | None = "") -> Rolled:
        return _Telling.seen(self, said)


class SilentDice(Dice):
    """On a thread, and tells nothing."""

    SUPPORTS_CONCURRENT_SESSIONS = True


class ForgetfulDice(TellingDice):
    """Can not be put into a state."""

    def set_state(self, value: dict[str, Any]) -> None:
        raise LookupError("which dice?")


class DiceEnv(EnvClient[Roll, Rolled, State]):
    """The client of all of them."""


WAYS = {
    "thread": TellingDice,
    "inline": InlineTellingDice,
    "coroutine": CoroutineTellingDice,
    "process": ProcessTellingDice,
    "forked": Dice,
    "forked coroutine": AsyncDice,
}
"""Everything whose state can be had."""

FORKED = {"forked": Dice, "forked coroutine": AsyncDice}


def warm(server: Any) -> Any:
    """Return a server whose fork server has imported the environment, which takes long on a busy machine."""
    with DiceEnv(server.url) as env:
        env.reset()
    assert wait_until(lambda: not server.manager.slots.taken)
    return server
