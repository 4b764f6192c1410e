"""An environment that writes down what is done to it, and the book that must come out right in the end."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from openenv.environment import Environment
from openenv.models import Action, Observation, State


class Mark(Action):
    """A step with a number that no other step or reset has.

    Attributes:
        number: The number.
        hold: Do not finish until told, where the environment is of coroutines.
    """

    number: int
    hold: bool = False


class Marked(Observation):
    """What was done: the number of the step or reset."""

    number: int
    instance: int


@dataclass
class Entry:
    """One thing that was done to an environment."""

    instance: int
    what: str
    number: int


@dataclass
class Ledger:
    """What was done to all environments, in order.

    Attributes:
        entries: Everything.
        instances: How many environments there were.
        held: Steps that wait to be let go.
    """

    entries: list[Entry] = field(default_factory=list)
    instances: int = 0
    held: deque["asyncio.Future[None]"] = field(default_factory=deque)

    def new(self) -> int:
        self.instances += 1
        return self.instances

    def executed(self) -> list[int]:
        """Return the numbers of all steps and resets that were executed, in order."""
        return [entry.number for entry in self.entries if entry.what != "close"]

    def let_go(self) -> None:
        """Let the oldest held step finish."""
        while self.held:
            waiting = self.held.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return

    def check_order(self) -> None:
        """Make sure that no environment was used before its reset or after its end, or ended twice."""
        fresh, ended = set(range(1, self.instances + 1)), set()
        for entry in self.entries:
            assert entry.instance not in ended, f"{entry} after its environment was closed"
            if entry.what == "step":
                assert entry.instance not in fresh, f"{entry} before a reset"
            if entry.what == "reset":
                fresh.discard(entry.instance)
            if entry.what == "failed reset":
                fresh.add(entry.instance)
            if entry.what == "close":
                ended.add(entry.instance)

    def check_closed(self) -> None:
        """Make sure that every environment there was has been closed."""
        closed = {entry.instance for entry in self.entries if entry.what == "close"}
        assert closed == set(range(1, self.instances + 1)), "an environment was not closed"


class _Kept:
    book: Ledger

    def __init__(self) -> None:
        self.instance = self.book.new()

    def _start(self, number: int, fail: bool) -> Marked:
        if fail:
            self._note("failed reset", number)
            raise LookupError("no such level")
        return self._note("reset", number)

    def _note(self, what: str, number: int) -> Marked:
        self.book.entries.append(Entry(self.instance, what, number))
        return Marked(number=number, instance=self.instance)


class Blocking(_Kept, Environment[Mark, Marked, State]):
    """Runs on a thread."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, number: int = 0, fail: bool = False) -> Marked:
        return self._start(number, fail)

    def step(self, action: Mark) -> Marked:
        return self._note("step", action.number)

    @property
    def state(self) -> State:
        return State()

    def close(self) -> None:
        self._note("close", 0)


class Inline(Blocking):
    """Runs on the event loop, directly."""

    NON_BLOCKING = True


class Awaited(_Kept, Environment[Mark, Marked, State]):
    """Runs on the event loop, as coroutines."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    async def reset(self, number: int = 0, fail: bool = False) -> Marked:
        return self._start(number, fail)

    async def step(self, action: Mark) -> Marked:
        seen = self._note("step", action.number)
        if action.hold:
            waiting = asyncio.get_running_loop().create_future()
            self.book.held.append(waiting)
            await waiting
        return seen

    async def state(self) -> State:
        return State()

    async def close(self) -> None:
        self._note("close", 0)


def kept_in(book: Ledger, environment: type[_Kept]) -> Any:
    """Return the environment class with a book of its own."""
    return type(environment.__name__, (environment,), {"book": book})
