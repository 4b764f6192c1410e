"""Visitors of the page: a session each, and what came of everything they did.

A visit is one tab of a browser. Its session is opened when it is first needed, so that looking at the page takes
nobody's place. It ends some seconds after the tab is closed, for a page that is loaded again is the same visit.
What is said to the page is JSON made here; results of the environment pass through as the session encoded them.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from openenv.errors import InvalidRequestError, RequestError, SessionCapacityError
from openenv.protocol import messages as m
from openenv.server.config import ServerContext
from openenv.server.dispatch import dispatch
from openenv.server.host import Reply
from openenv.server.inquiries import Inquiry
from openenv.server.requests import OnReply, Request
from openenv.server.sessions import CLOSED, Phase, Session

GRACE_S = 10.0
"""Seconds that a visit lasts after its page is gone; loading a page again takes less."""

TURNS_KEPT = 1000
"""Turns of a visit that are told to a page that is loaded again."""

ACTION_KEPT = 100_000
"""Characters of one action that the history keeps."""

SENT_KEPT = 4_000_000
"""Characters that the history keeps of all actions; the oldest turns go first."""

Tell = Callable[[bytes], None]


class _Frame(msgspec.Struct):
    """What a page sends: a frame of version 1, or `cancel`."""

    type: str
    data: msgspec.Raw = msgspec.Raw(b"{}")


class _Outcome(msgspec.Struct):
    """What the history needs of a result."""

    reward: float | bool | None = None
    done: bool = False


_read_frame = msgspec.json.Decoder(_Frame).decode
_read_outcome = msgspec.json.Decoder(_Outcome).decode
_written = msgspec.json.encode


class Visit:
    """One visitor.

    Args:
        visits: All visits of this server.

    Attributes:
        id: Its id, which proves to be this visitor.
        listeners: The pages that are told; two after a tab was duplicated.
        state: The state after the last reset or step, as JSON; None before.
        tools: The tools of the session, as JSON; None before, and where actions are no calls of tools.
    """

    def __init__(self, visits: Visits) -> None:
        self.id = secrets.token_urlsafe(16)
        self.listeners: list[Tell] = []
        self.state: msgspec.Raw | None = None
        self.tools: msgspec.Raw | None = None
        self._visits = visits
        self._session: Session | None = None
        self._running = ""
        self._turns: deque[dict[str, Any]] = deque()
        self._sent = 0
        self._numbers: dict[str, float] = {"turn": 0, "episode": 0, "step": 0, "total": 0}
        self._last: msgspec.Raw | None = None
        self._view: msgspec.Raw | None = None

    def welcome(self) -> bytes:
        """Return what a page is told that has just come, or has come again."""
        return _written(
            {
                "type": "welcome",
                "visitor": self.id,
                "turns": list(self._turns),
                "result": self._last,
                "state": self.state,
                "view": self._view,
                "tools": self.tools,
                "running": self._running,
                "session": self._session is not None,
            }
        )

    def received(self, raw: bytes) -> None:
        """Do what a page asks. Whatever is wrong with it is told in words, and nothing has happened."""
        try:
            frame = _read_frame(raw)
        except msgspec.DecodeError as error:
            self.refuse(InvalidRequestError(f"That is no message: {error}"))
            return
        if frame.type == "cancel":
            self.cancel()
            return
        try:
            message = self._visits.context.codec.decode(raw)
        except RequestError as error:
            self._refused(frame.type, bytes(frame.data), error)
            return
        self.ask(message, bytes(frame.data))

    def ask(self, message: Any, sent: bytes, answered: OnReply | None = None) -> None:
        """Have the session reset, step or tell its state, and tell the pages what came of it.

        Args:
            message: A frame of `protocol.messages`.
            sent: Its data as it was sent, for the history.
            answered: Called with the answer, too.
        """
        verb = message.type
        if self._running:
            error = InvalidRequestError(f"A {self._running} is running: wait for it, or stop it")
            self.refuse(error, verb)
            _give(answered, Reply.failed(error))
            return
        try:
            session = self._session or self._open()
        except RequestError as error:
            self.refuse(error, verb)
            _give(answered, Reply.failed(error))
            return
        if verb not in ("reset", "step"):
            self._look(session)
            return
        self._running = verb
        self._tell({"type": "running", "verb": verb})
        began, at = time.perf_counter(), time.time()

        def over(reply: Reply) -> None:
            self._running = ""
            self._over(session, verb, sent, reply, at, time.perf_counter() - began)
            if session is self._session:
                self._look(session)
                if verb == "reset" or getattr(reply, "tools_changed", False):
                    self._list_tools(session)
            _give(answered, reply)

        dispatch(session, message, over, self._progressed)

    def cancel(self) -> None:
        """Stop what is running; its environment is replaced by the next reset."""
        if self._session is not None:
            self._session.interrupt()

    def end(self) -> None:
        """Free the session."""
        if self._session is not None:
            self._session.end()

    @property
    def session(self) -> Session | None:
        """Its session, if there is one at present."""
        return self._session

    # --- what came of it ---------------------------------------------------------------------------------

    def _open(self) -> Session:
        self._session = session = self._visits.open(self._session_ended)
        return session

    def _over(self, session: Session, verb: str, sent: bytes, reply: Reply, at: float, seconds: float) -> None:
        if reply.error is not None:
            if verb == "reset" or session.phase in (Phase.BROKEN, Phase.CLOSED):
                self._lose_episode()  # a reset that failed has ended the one before it
            self._refused(verb, sent, reply.error, at, seconds)
            return
        numbers = self._numbers
        outcome = _read_outcome(reply.data)
        if verb == "reset":
            numbers["episode"] += 1
            numbers["step"] = numbers["total"] = 0
        else:
            numbers["step"] += 1
            numbers["total"] += outcome.reward or 0
        self._last = msgspec.Raw(reply.data)
        turn = self._turn(verb, sent, at, seconds, reward=outcome.reward, done=outcome.done)
        self._tell({"type": "turn", "turn": turn, "result": self._last})

    def _refused(
        self, verb: str, sent: bytes, error: RequestError, at: float | None = None, seconds: float = 0.0
    ) -> None:
        turn = self._turn(verb, sent, at or time.time(), seconds, error=error.message)
        self._tell({"type": "refused", "verb": verb, "error": error.to_wire(), "turn": turn})

    def _lose_episode(self) -> None:
        """Nothing can be stepped any more, so nothing is shown as if it could."""
        self._last = self._view = None
        self._tell({"type": "lost"})

    def refuse(self, error: RequestError, verb: str = "") -> None:
        """Tell the pages that something was not even tried."""
        self._tell({"type": "refused", "verb": verb, "error": error.to_wire()})

    def _turn(self, verb: str, sent: bytes, at: float, seconds: float, **came: Any) -> dict[str, Any]:
        self._numbers["turn"] += 1
        whole = sent.decode(errors="replace")
        turn = {
            **self._numbers,
            "verb": verb,
            "sent": whole[:ACTION_KEPT],
            "at": round(at * 1000),
            "ms": round(seconds * 1000, 2),
            **came,
        }
        if len(whole) > ACTION_KEPT:
            turn["cut"] = len(whole)
        self._turns.append(turn)
        self._sent += len(turn["sent"])
        while len(self._turns) > TURNS_KEPT or self._sent > SENT_KEPT:
            self._sent -= len(self._turns.popleft()["sent"])
        return turn

    def _look(self, session: Session) -> None:
        """Have the state and the environment's own view told, when their turn comes."""
        dispatch(session, m.WSStateMessage(type="state"), partial(self._looked, "state"))
        session.submit(Request(Inquiry("view"), partial(self._looked, "view")))

    def _list_tools(self, session: Session) -> None:
        """Have the tools told, where actions are calls of them: those of an episode may be its own."""
        if self._visits.context.manager.tools.takes_calls:
            session.submit(Request(Inquiry("tools"), partial(self._looked, "tools")))

    def _looked(self, what: str, reply: Reply) -> None:
        if reply.error is not None:
            return  # what has gone wrong has been told, or goes wrong again in the next step
        data = msgspec.Raw(reply.data)
        if what == "state":
            self.state = data
        elif what == "tools":
            self.tools = data
        else:
            self._view = data
        self._tell({"type": what, "data": data})

    def _progressed(self, report: dict[str, Any]) -> None:
        told = {name: report[name] for name in ("fraction", "message") if report.get(name) is not None}
        self._tell({"type": "progress", **told})

    def _session_ended(self, reason: RequestError) -> None:
        self._session = None
        self._running = ""
        self._lose_episode()
        if not self.listeners:
            self._visits.forget(self)
        if reason is not CLOSED:
            self._tell({"type": "ended", "error": reason.to_wire()})

    def _tell(self, what: dict[str, Any]) -> None:
        if self.listeners:
            raw = _written(what)
            for tell in list(self.listeners):
                tell(raw)


class Visits:
    """All visits of one server.

    Args:
        context: The server.
        grace_s: Seconds that a visit lasts after its page is gone.

    Attributes:
        loop: The server's event loop, once somebody has come.
    """

    def __init__(self, context: ServerContext, grace_s: float = GRACE_S) -> None:
        self.context = context
        self.grace_s = grace_s
        self.loop: asyncio.AbstractEventLoop | None = None
        self._visits: dict[str, Visit] = {}
        self._leaving: dict[str, asyncio.TimerHandle] = {}

    def arrive(self, visitor: str | None, tell: Tell) -> Visit:
        """Return the visit of a page that has come, or has come again.

        Args:
            visitor: What the page was told its visit is; None for a new one.
            tell: Called with what is said to the page, a frame at a time.
        """
        visit = self._visits.get(visitor or "") or self._new()
        leaving = self._leaving.pop(visit.id, None)
        if leaving is not None:
            leaving.cancel()
        visit.listeners.append(tell)
        tell(visit.welcome())
        return visit

    def leave(self, visit: Visit, tell: Tell) -> None:
        """A page is gone. Unless it comes again in time, its visit ends."""
        visit.listeners.remove(tell)
        if not visit.listeners:
            loop = asyncio.get_running_loop()
            self._leaving[visit.id] = loop.call_later(self.grace_s, self._end, visit)

    def of(self, visitor: str | None, stranger: str) -> Visit:
        """Return the visit that somebody belongs to who has no socket.

        Args:
            visitor: The id of a visit, if they say one.
            stranger: What they are called otherwise: such a visit lasts as long as its session.
        """
        name = f"stranger {stranger}"
        return self._visits.get(visitor or "") or self._visits.get(name) or self._new(name)

    def forget(self, visit: Visit) -> None:
        """A visit that nobody looks at has no session any more."""
        self._visits.pop(visit.id, None)
        leaving = self._leaving.pop(visit.id, None)
        if leaving is not None:
            leaving.cancel()

    def _new(self, name: str | None = None) -> Visit:
        self.loop = asyncio.get_running_loop()
        visit = Visit(self)
        visit.id = name or visit.id
        self._visits[visit.id] = visit
        return visit

    def open(self, on_end: Callable[[RequestError], None]) -> Session:
        """Open a session for a visitor. Those who have left make room.

        Like a session of plain HTTP it ends if nothing is asked of it for long: a forgotten tab keeps no place.

        Raises:
            SessionCapacityError: Every slot is taken.
        """
        try:
            return self.context.manager.open(attached=False, on_end=on_end)
        except SessionCapacityError:
            for visitor in list(self._leaving):
                self._end(self._visits[visitor])
            return self.context.manager.open(attached=False, on_end=on_end)

    def _end(self, visit: Visit) -> None:
        self.forget(visit)
        visit.end()


def _give(answered: OnReply | None, reply: Reply) -> None:
    if answered is not None:
        answered(reply)
