"""Environments that get into trouble on request: one that blocks, one of coroutines, one in a process of its own.

They are in a module, not in a test, because a worker process imports its environment by name.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any, ClassVar

from openenv.environment import Environment
from openenv.models import Action, Observation, State

LONG_S = 60.0
"""Seconds of a step that is only ever over because somebody stops it."""


class Do(Action):
    """What to do in a step.

    Attributes:
        what: The name of a method of `_Deeds`, or nothing.
        amount: For those that count.
        note: Comes back in the observation.
        anything: Whatever fits on the wire.
    """

    what: str = ""
    amount: int = 1
    note: str = ""
    anything: Any = None


class Seen(Observation):
    """Where and when the step was executed."""

    steps: int
    pid: int
    thread: int
    note: str = ""
    anything: Any = None


class _Deeds:
    """What a worker can do to itself, the server and its other children."""

    shared: ClassVar[list[int]] = []

    def kill(self, _amount: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def segfault(self, _amount: int) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    def exit(self, amount: int) -> None:
        print("leaving without a word", flush=True)
        os._exit(amount)

    def hang(self, _amount: int) -> None:
        time.sleep(LONG_S)

    def refuse_to_hang_alone(self, _amount: int) -> None:
        subprocess.run(["sleep", str(LONG_S)], check=False)

    def spawn(self, _amount: int) -> str:
        return str(subprocess.Popen(["sleep", str(LONG_S)]).pid)

    def speak(self, amount: int) -> None:
        print("x" * amount, flush=True)
        print("y" * amount, file=sys.stderr, flush=True)

    def flood(self, amount: int) -> None:
        """Write without a pause for so many milliseconds."""
        line, end = b"z" * 65536, time.monotonic() + amount / 1000
        while time.monotonic() < end:
            os.write(1, line)

    def remember(self, amount: int) -> str:
        """Put a number into a variable of the class, which instances in one process share."""
        self.shared.append(amount)
        return repr(self.shared)

    def fail(self, _amount: int) -> None:
        raise LookupError("no such key: 'x'")


class _Busy:
    """What the environments share."""

    def __init__(self) -> None:
        self.steps = -1

    def _reset(self, episode_id: str | None) -> Seen:
        self.steps = 0
        self.episode_id = episode_id
        return self._seen("")

    def _step(self, action: Do) -> Seen:
        assert self.steps >= 0, "a step on an environment that was not reset"
        self.steps += 1
        said = getattr(_Deeds(), action.what)(action.amount) if action.what else None
        return self._seen(said or action.note, action.anything)

    def _seen(self, note: str, anything: Any = None) -> Seen:
        return Seen(
            steps=self.steps,
            pid=os.getpid(),
            thread=threading.get_ident(),
            note=note,
            anything=anything,
            reward=1.0,
        )


class Undeclared(_Busy, Environment[Do, Seen, State]):
    """Says nothing of concurrent sessions, so each gets a process."""

    def reset(self, seed: int | None = None, episode_id: str | None = None, trouble: str = "") -> Seen:
        if trouble:
            getattr(_Deeds(), trouble)(1)
        return self._reset(episode_id)

    def step(self, action: Do) -> Seen:
        return self._step(action)

    @property
    def state(self) -> State:
        return State(step_count=self.steps)


class Coroutines(_Busy, Environment[Do, Seen, State]):
    """Runs on the event loop."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    async def reset(self, seed: int | None = None, episode_id: str | None = None, trouble: str = "") -> Seen:
        if trouble:
            await asyncio.sleep(LONG_S)
        return self._reset(episode_id)

    async def step(self, action: Do) -> Seen:
        if action.what == "hang":
            await asyncio.sleep(LONG_S)
        return self._step(action)

    async def state(self) -> State:
        return State(step_count=self.steps)
