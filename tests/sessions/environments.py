"""Environments that get into trouble on request: on a thread, on the event loop, in a process of their own.

They are in a module, not in a test, because a worker process imports its environment by name. The same requests
mean the same to all three.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from openenv.environment import Environment
from openenv.models import Action, Observation, State

LONG_S = 60.0
"""Seconds of a step that is only ever over because somebody stops it."""

release = threading.Event()
"""Lets everything go that hangs on a thread; `conftest` sets it after each test."""


at_import = os.open(__file__, os.O_RDONLY)
"""A file that the module opens when it is imported, as those do that read a dictionary or keep a database."""


class Do(Action):
    """What to do in a step.

    Attributes:
        what: The name of a deed, or nothing.
        amount: For deeds that count.
        note: Comes back in the observation.
        anything: Comes back too.
    """

    what: str = ""
    amount: int = 1
    note: str = ""
    anything: Any = None


class Seen(Observation):
    """Where the step was executed, and what it came to."""

    steps: int
    pid: int
    thread: int
    note: str = ""
    anything: Any = None


class Deeds:
    """What an environment can do to itself and to those around it. Each returns a note, or nothing."""

    shared: ClassVar[list[int]] = []

    def kill(self, _amount: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def segfault(self, _amount: int) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    def exit(self, amount: int) -> None:
        print("leaving without a word of goodbye", flush=True)
        os._exit(amount)

    def hang(self, _amount: int) -> None:
        release.wait(LONG_S)

    def read_what_was_opened_at_import(self, _amount: int) -> str:
        return os.pread(at_import, 3, 0).decode()

    def close_output(self, _amount: int) -> None:
        """Close both outputs, as a daemon does."""
        os.close(1)
        os.close(2)

    def spawn(self, _amount: int) -> str:
        """Leave a process behind."""
        return str(subprocess.Popen(["sleep", str(LONG_S)]).pid)

    def speak(self, amount: int) -> None:
        """Write so many bytes to both outputs."""
        print("x" * amount, flush=True)
        print("y" * amount, file=sys.stderr, flush=True)

    def flood(self, amount: int) -> None:
        """Write without a pause for so many milliseconds."""
        line, end = b"z" * 65536, time.monotonic() + amount / 1000
        while time.monotonic() < end:
            os.write(1, line)

    def remember(self, amount: int) -> str:
        """Put a number where instances of one process share it, and tell what is there."""
        self.shared.append(amount)
        return repr(self.shared)

    def fail(self, _amount: int) -> None:
        raise LookupError("no such key: 'x'")


class _Base:
    """What the environments share."""

    def __init__(self) -> None:
        self.steps = -1
        self.state_hangs = False

    def _reset(self, episode_id: str | None) -> Seen:
        self.steps = 0
        return self._seen("")

    def _step(self, action: Do) -> Seen:
        assert self.steps >= 0, "a step on an environment that was not reset"
        self.steps += 1
        self.state_hangs = action.what == "hang in state"
        deed = getattr(Deeds(), action.what, None)
        said = deed(action.amount) if deed is not None else None
        return self._seen(said or action.note, action.anything)

    def _seen(self, note: str, anything: Any = None) -> Seen:
        return Seen(
            steps=self.steps,
            pid=os.getpid(),
            thread=threading.get_ident(),
            note=note,
            anything=anything,
            reward=1.0,
            done=note == "done",
        )


class Undeclared(_Base, Environment[Do, Seen, State]):
    """Says nothing of concurrent sessions, so each gets a process."""

    def reset(self, seed: int | None = None, episode_id: str | None = None, trouble: str = "") -> Seen:
        if trouble:
            getattr(Deeds(), trouble)(1)
        return self._reset(episode_id)

    def step(self, action: Do) -> Seen:
        return self._step(action)

    @property
    def state(self) -> State:
        if self.state_hangs:
            release.wait(LONG_S)
        return State(step_count=self.steps)


class Blocking(Undeclared):
    """Runs on a thread."""

    SUPPORTS_CONCURRENT_SESSIONS = True


class TellsLong(Blocking):
    """Runs on the event loop, and on a thread what it says takes long."""

    NON_BLOCKING = ("reset", "step")

    def takes_long(self, verb: str, arguments: Mapping[str, Any]) -> bool:
        if verb == "reset":
            return bool(arguments.get("trouble"))
        action: Do = arguments["action"]
        return action.what == "hang"


class Coroutines(_Base, Environment[Do, Seen, State]):
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
        if self.state_hangs:
            await asyncio.sleep(LONG_S)
        return State(step_count=self.steps)


class NeverBorn:
    """Adds a constructor that hangs."""

    def __init__(self) -> None:
        super().__init__()
        release.wait(LONG_S)


class UndeclaredNeverBorn(NeverBorn, Undeclared):
    """In a process."""


class BlockingNeverBorn(NeverBorn, Blocking):
    """On a thread."""


class TellsLongNeverBorn(NeverBorn, TellsLong):
    """On the event loop, mostly."""


class CoroutinesNeverBorn(NeverBorn, Coroutines):
    """On the event loop; but a constructor is always run on a thread."""


class OneThread(Blocking):
    """Uses a library that works on the thread it was made on, and on no other."""

    REQUIRES_SINGLE_THREAD_EXECUTOR = True

    def __init__(self) -> None:
        super().__init__()
        self.home = threading.get_ident()

    def step(self, action: Do) -> Seen:
        seen = super().step(action)
        seen.note = str(seen.thread == self.home)
        return seen

    @property
    def state(self) -> State:
        assert threading.get_ident() == self.home
        return super().state

    def close(self) -> None:
        assert threading.get_ident() == self.home


KINDS = {"coroutine": Coroutines, "thread": Blocking, "process": Undeclared, "thread if long": TellsLong}
NEVER_BORN = {
    "coroutine": CoroutinesNeverBorn,
    "thread": BlockingNeverBorn,
    "process": UndeclaredNeverBorn,
    "thread if long": TellsLongNeverBorn,
}
