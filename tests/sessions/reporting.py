"""Environments that report progress: on a thread, on the event loop, in a process of their own."""

import asyncio
import copy
import pickle
import threading
from typing import Any

from tests.sessions.environments import LONG_S, release

from openenv.environment import Environment
from openenv.models import Action, Observation, State


class Report(Action):
    """What to report in a step.

    Attributes:
        times: How many reports, told by their numbers.
        hang: Whether the step then goes on until somebody stops it.
        odd: A name of something that has no form on the wire, to report as well.
        elsewhere: Whether to report from another thread.
        ticks: How many reports more, for coroutines.
        tick_s: Seconds before each of them.
    """

    times: int = 1
    hang: bool = False
    odd: str = ""
    elsewhere: bool = False
    ticks: int = 0
    tick_s: float = 0.0


class Reported(Observation):
    """What became of it.

    Attributes:
        copied: Whether copies of the environment report to nobody.
    """

    steps: int
    copied: bool = True


ODD: dict[str, Any] = {"nan": float("nan"), "foreign": threading.Lock(), "huge": "x" * 100_000}


class _Base(Environment[Report, Reported, State]):
    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def _report(self, action: Report) -> None:
        if action.elsewhere:
            thread = threading.Thread(target=self._say, args=(action,))
            thread.start()
            thread.join()
        else:
            self._say(action)

    def _say(self, action: Report) -> None:
        if action.odd:
            self.progress(0.5, "odd", value=ODD[action.odd])
        for number in range(action.times):
            self.progress((number + 1) / action.times, f"{number + 1} of {action.times}", number=number + 1)

    def _done(self) -> Reported:
        self.steps += 1
        twins = copy.deepcopy(self), pickle.loads(pickle.dumps(self))
        return Reported(steps=self.steps, copied=all(twin._listener is None for twin in twins))


class InProcess(_Base):
    """In a process of its own."""

    def reset(self, times: int = 0, episode_id: str | None = None) -> Reported:
        self._report(Report(times=times))
        self.steps = 0
        return Reported(steps=0)

    def step(self, action: Report) -> Reported:
        self._report(action)
        if action.hang:
            release.wait(LONG_S)
        return self._done()

    @property
    def state(self) -> State:
        self.progress(message="reading the state")
        return State(step_count=self.steps)


class OnThread(InProcess):
    """On a thread."""

    SUPPORTS_CONCURRENT_SESSIONS = True


class OnLoop(_Base):
    """On the event loop."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    async def reset(self, times: int = 0, episode_id: str | None = None) -> Reported:
        self._report(Report(times=times))
        await asyncio.sleep(0.01 if times else 0)
        self.steps = 0
        return Reported(steps=0)

    async def step(self, action: Report) -> Reported:
        self._report(action)
        for _ in range(action.ticks):
            await asyncio.sleep(action.tick_s)
            self.progress(message="still at it")
        await asyncio.sleep(LONG_S if action.hang else 0.01 * action.times)
        return self._done()

    async def state(self) -> State:
        self.progress(message="reading the state")
        return State(step_count=self.steps)


class NonBlocking(OnThread):
    """On the event loop, directly: nothing can be told before it is done."""

    NON_BLOCKING = True


KINDS = {"coroutine": OnLoop, "thread": OnThread, "process": InProcess}
