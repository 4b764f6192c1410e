"""Requests under way on a version 2 connection, kept by id until their answers are here.

Each has a deadline, the message budget, and one timer serves them all: they are kept in the order of their
deadlines, so progress, with which a budget begins anew, moves a request to the end. One whose caller has given up
stays until it is answered, because its sequence number counts.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter

from openenv.client.progress import Listening, Progress
from openenv.errors import BudgetExceededError, RequestError
from openenv.protocol.formats import Incoming


@dataclass(eq=False)
class RemoteSession:
    """A session on the server, as this side knows it.

    Attributes:
        id: Its id.
        token: Proves that it is ours.
        seq: Number of the last state-changing request sent.
        begun: Whether it has ever answered with anything but an error.
        lost: Why it is gone, once it is.
    """

    id: str
    token: str = field(repr=False)
    seq: int = 0
    begun: bool = False
    lost: RequestError | None = None

    def refuse_if_lost(self) -> None:
        """Raise why the session is gone, if it is; a new exception each time."""
        if self.lost is not None:
            raise RequestError.from_wire(self.lost.to_wire())


class Call(ABC):
    """A request under way.

    Attributes:
        raw: The frame.
        sessions: Whose it is; none for requests about the connection.
        deadline: When its caller gives up, on the event loop's clock.
    """

    __slots__ = ("deadline", "raw", "sessions")
    raw: bytes
    sessions: tuple[RemoteSession, ...]
    deadline: float

    @property
    def waited_for(self) -> bool:
        """Whether its caller has not given up."""
        return True

    @abstractmethod
    def answered(self, answer: Incoming) -> bool:
        """Take an answer frame; return whether it was the last."""

    def told(self, progress: Incoming) -> None:  # noqa: B027 - most callers want to hear of nothing
        """Take a frame that says how far it is."""

    @abstractmethod
    def failed(self, error: Exception) -> None:
        """Take note that there will be no answer."""

    @abstractmethod
    def expired(self, seconds: float) -> None:
        """Take note that the message budget of so many seconds is used up."""

    def lose(self, session: RemoteSession, error: RequestError) -> bool:
        """Fail what it asks of a session that is gone; return whether there is nothing else to it."""
        self.failed(error)
        return True


class SingleCall(Call):
    """A request with one answer, which a future waits for.

    Attributes:
        future: The answer.
        verb: What is asked, for errors.
    """

    __slots__ = ("_calls", "future", "verb")

    def __init__(
        self,
        calls: Calls,
        raw: bytes,
        sessions: tuple[RemoteSession, ...],
        verb: str,
        future: asyncio.Future[Incoming],
    ) -> None:
        self.raw = raw
        self.sessions = sessions
        self.future = future
        self.verb = verb
        self._calls = calls

    @property
    def waited_for(self) -> bool:
        """See `Call.waited_for`."""
        return not self.future.done()

    def answered(self, answer: Incoming) -> bool:
        """See `Call.answered`."""
        if answer.kind != "error":
            for session in self.sessions:
                session.begun = True
        if self.future.done():
            self._calls.late_replies += 1
        else:
            self.future.set_result(answer)
        return True

    def failed(self, error: Exception) -> None:
        """See `Call.failed`."""
        if not self.future.done():
            self.future.set_exception(error)

    def expired(self, seconds: float) -> None:
        """See `Call.expired`."""
        self.failed(late(self.verb, seconds))


class ListeningCall(SingleCall):
    """A request somebody wants to hear of before it is answered."""

    __slots__ = ("listening",)
    listening: Listening

    def told(self, progress: Incoming) -> None:
        """See `Call.told`."""
        self.listening.hear(Progress.of(progress.data.get("data")))

    def answered(self, answer: Incoming) -> bool:
        """See `Call.answered`."""
        self.listening.end()
        return super().answered(answer)

    def failed(self, error: Exception) -> None:
        """See `Call.failed`."""
        self.listening.end()
        super().failed(error)


class Calls:
    """All requests of one connection.

    Args:
        seconds: The message budget.

    Attributes:
        late_replies: Answers that came after their caller had given up.
    """

    def __init__(self, seconds: float) -> None:
        self.late_replies = 0
        self._seconds = seconds
        self._by_number: dict[int, Call] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, number: int, call: Call, loop: asyncio.AbstractEventLoop) -> None:
        """Keep a call; its budget begins now."""
        call.deadline = loop.time() + self._seconds
        self._by_number[number] = call
        if self._timer is None:
            self._timer = loop.call_at(call.deadline, self._expire, loop)

    def answered(self, number: int, answer: Incoming) -> None:
        """Hand an answer to the call it belongs to, if there is one."""
        call = self._by_number.get(number)
        if call is None:
            self.late_replies += 1
        elif call.answered(answer):
            self._by_number.pop(number, None)

    def waited_for(self, number: int) -> bool:
        """Whether somebody waits for the answer to a call."""
        call = self._by_number.get(number)
        return call is not None and call.waited_for

    def told(self, number: int, progress: Incoming, loop: asyncio.AbstractEventLoop) -> None:
        """Hand progress to the call it belongs to, whose budget begins anew: its server is at it."""
        call = self._by_number.pop(number, None)
        if call is not None:
            call.deadline = loop.time() + self._seconds
            self._by_number[number] = call
            call.told(progress)

    def numbers_of(self, session: RemoteSession) -> list[int]:
        """Return the ids of what a session has under way."""
        return [number for number, call in self._by_number.items() if session in call.sessions]

    def frames(self) -> Iterator[bytes]:
        """Return the frames of all sessions' requests, in order, to send them once more."""
        return iter([call.raw for _, call in sorted(self._by_number.items(), key=itemgetter(0)) if call.sessions])

    def lose(self, session: RemoteSession, error: RequestError) -> None:
        """Fail what a session that is gone has under way."""
        for number in self.numbers_of(session):
            if self._by_number[number].lose(session, RequestError.from_wire(error.to_wire())):
                del self._by_number[number]

    def wanted(self, numbers: Iterable[int]) -> Iterator[bytes]:
        """Return the frames of those of these calls whose callers still wait."""
        for number in numbers:
            call = self._by_number.get(number)
            if call is not None and call.waited_for:
                yield call.raw
            elif call is not None:  # it was never sent, so no answer will come
                del self._by_number[number]

    def fail(self, error: RequestError, *, with_sessions: bool, but: Container[int] = ()) -> None:
        """Fail everything, or only what is about the connection and no session.

        Args:
            error: Why.
            with_sessions: Everything.
            but: Ids of calls that go on.
        """
        for number, call in list(self._by_number.items()):
            if (with_sessions or not call.sessions) and number not in but:
                del self._by_number[number]
                call.failed(RequestError.from_wire(error.to_wire()))

    def close(self) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for call in list(self._by_number.values()):
            if call.deadline > now:
                self._timer = loop.call_at(call.deadline, self._expire, loop)
                return
            call.expired(self._seconds)


def late(verb: str, seconds: float, *, own: bool = False) -> BudgetExceededError:
    """Return the error for a request that is not answered within the message budget, or within its own."""
    budget, raised = ("its own budget", "timeout_s") if own else ("the message budget", "message_timeout_s")
    return BudgetExceededError(
        f"The {verb} was not answered within {budget} of {seconds:g} s. It may still be executed; "
        f"its answer will be dropped. Raise {raised} if this is normal",
        budget=verb if own else "message",
        seconds=seconds,
    )
