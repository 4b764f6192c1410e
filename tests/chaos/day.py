"""A day in the life of a server: thousands of sessions in simulated time, and every rule of how they live and end.

Crews of sessions come, play, lose their connection, come back in time or too late, sit idle, are taken over, leave
or walk away. After each move the server's word is held against a model of a few lines: `Life.limits`.
"""

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.sessions.ledger import Ledger, Mark, kept_in
from tests.sessions.simulated import SimulatedLoop, Threads

from openenv.protocol.codec_v2 import ServerCodecV2
from openenv.protocol.formats import JSON, MSGPACK, Format
from openenv.protocol.messages import ConcurrencyConfig
from openenv.server.budgets import Budgets
from openenv.server.manager import CLOSE_GRACE_S, SessionManager
from openenv.server.multiplex import MultiplexConnection

DAY_S = 24 * 3600.0
BUDGETS = Budgets(lease=60.0, idle=1800.0, unattached=900.0, lifetime=3600.0, queue=30.0)
LATE_S = 5.5
"""Seconds after a limit within which the server has noticed: it looks every 5 s, and a move takes no time."""

SESSIONS = 60
"""As many as there may be at once; in a rush hour more are wanted."""

LIMITS = {"lease": "within its lease", "idle": "idle budget", "lifetime": "lifetime budget"}
"""What the reason of an end says, by the limit it was for."""


@dataclass
class Life:
    """What is known of a session without asking the server.

    Attributes:
        id: Its id.
        token: Its token.
        opened_at: When.
        used_at: When it was last asked something.
        lost_at: When its connection was lost; None while it is held.
        closed: Its owner closed it.
        seq: Its last number.
        last: The last numbered frame and the answer to it.
    """

    id: str
    token: str
    opened_at: float
    used_at: float
    lost_at: float | None = None
    closed: bool = False
    seq: int = 0
    last: tuple[dict[str, Any], dict[str, Any]] | None = None

    def limits(self) -> dict[str, float]:
        """Return when the session ends if nothing more befalls it, by each limit."""
        assert BUDGETS.idle is not None
        assert BUDGETS.lifetime is not None
        limits = {"idle": self.used_at + BUDGETS.idle, "lifetime": self.opened_at + BUDGETS.lifetime}
        if self.lost_at is not None:
            limits["lease"] = self.lost_at + BUDGETS.lease
        return limits

    def must_live(self, now: float) -> bool:
        return not self.closed and now < min(self.limits().values())

    def must_be_over(self, now: float) -> bool:
        return self.closed or now > min(self.limits().values()) + LATE_S

    def check_reason(self, reason: str, now: float) -> str:
        """Make sure that the reason of its end is a limit that it has reached; return which."""
        reached = [name for name, when in self.limits().items() if when <= now and LIMITS[name] in reason]
        assert reached, f"{self} ended because: {reason}"
        return reached[0]


@dataclass
class Line:
    """One connection."""

    connection: MultiplexConnection
    replies: deque[bytes]
    format: Format
    notices: list[dict[str, Any]] = field(default_factory=list)


class Day:
    """One server, and all who come to it.

    Args:
        environment: Class of `tests.sessions.ledger`.
        crews: How many groups of sessions come in the course of the day.
        seed: Decides what they do.

    Attributes:
        events: How often what happened.
    """

    def __init__(self, environment: Any, crews: int, seed: int) -> None:
        self.events: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._crews = crews
        self._book = Ledger()
        self._loop = SimulatedLoop()
        self._manager = SessionManager(
            kept_in(self._book, environment),
            ConcurrencyConfig(max_concurrent_envs=SESSIONS),
            budgets=BUDGETS,
            clock=self._loop.time,
        )
        self._manager._pool = Threads(self._loop)  # type: ignore[assignment]
        self._codec = ServerCodecV2(Mark)
        self._ids = itertools.count(1)
        self._numbers = itertools.count(1)
        self._told: list[int] = []

    def run(self) -> None:
        """Let the day pass, and a few hours more; then nothing may be left."""
        try:
            self._pass()
            self._loop.advance(6 * 3600.0)
            self._check_the_end()
        finally:
            self._loop.close()

    def _pass(self) -> None:
        order = itertools.count()
        agenda: list[tuple[float, int, Iterator[float]]] = []
        for _ in range(self._crews):
            rush = self._random.random() < 0.15
            comes = self._random.gauss(DAY_S / 2, 120) if rush else self._random.uniform(0, DAY_S)
            heapq.heappush(agenda, (comes, next(order), self._crew() if not rush else self._crew(haste=True)))
        while agenda:
            when, _, crew = heapq.heappop(agenda)
            self._loop.advance(max(when - self._loop.time(), 0.0))
            try:
                pause = next(crew)
            except StopIteration:
                continue
            heapq.heappush(agenda, (self._loop.time() + pause, next(order), crew))

    # --- who comes -------------------------------------------------------------------------------

    def _crew(self, haste: bool = False) -> Iterator[float]:
        """One to four sessions on one connection; each `yield` is a pause in seconds."""
        draw = self._random
        if draw.random() < 0.1:
            yield from self._walk_in()
            return
        line = self._line()
        number = next(self._ids)
        count = draw.randint(1, 4)
        self._put(line, {"id": number, "type": "open", "count": count})
        waited = 0.0
        while (answer := self._answer(line, number)) is None:
            assert waited <= BUDGETS.queue + 1, "nobody told whether sessions are open"
            waited += 1.0
            yield 1.0
        if answer["type"] == "error":
            assert answer["data"]["code"] == "CAPACITY_REACHED"
            self.events["refused for want of room"] += 1
            return
        self.events["waited for room"] += waited > 0
        now = self._loop.time()
        crew = [Life(one["session"], one["token"], now, now) for one in answer["sessions"]]
        self.events["opened"] += count
        for life in crew:
            self._play(line, life, "reset")
        moves = draw.randint(2, 6) if haste else draw.choice((draw.randint(2, 12), draw.randint(2, 12), 60))
        for _ in range(moves):
            yield draw.expovariate(1 / (5 if haste else 100))
            self._hear(line, crew)
            crew = [life for life in crew if life.must_live(self._loop.time())]
            if not crew:
                return
            line = yield from self._move(line, crew)
        yield from self._part(line, crew)

    def _move(self, line: Line, crew: list[Life]) -> Iterator[float]:
        """Do something; return the connection that holds the crew afterwards."""
        draw = self._random
        chance = draw.random()
        if chance < 0.55:
            self._play(line, draw.choice(crew), draw.choice(("step", "step", "step", "reset", "state")))
        elif chance < 0.65:
            assert self._ask(line, {"type": "ping"})["type"] == "pong"  # which is no use of a session
        elif chance < 0.8:
            line = yield from self._lose_and_come_back(line, crew)
        elif chance < 0.85:
            line = self._take_over(line, crew)
        elif chance < 0.9:
            yield from self._sit_idle(line, crew)
        else:
            self._send_again(line, draw.choice(crew))
        return line

    def _lose_and_come_back(self, line: Line, crew: list[Life]) -> Iterator[float]:
        self._lose(line, crew)
        yield self._random.choice((0.1, 5.0, 30.0, 59.0, 61.0, 63.0, 70.0, 200.0))
        again = self._line(line.format)
        for life in crew:
            self._resume(again, life)
        return again

    def _take_over(self, line: Line, crew: list[Life]) -> Line:
        """Another connection shows the tokens while the first seems to be there; the first is told."""
        again = self._line(line.format)
        for life in crew:
            if self._resume(again, life):
                self._read(line)
                assert any(notice["session"] == life.id for notice in line.notices)
                error = self._ask(line, {"type": "state", "session": life.id})
                assert error["data"]["code"] == "SESSION_NOT_FOUND"
        self.events["taken over"] += 1
        return again

    def _sit_idle(self, line: Line, crew: list[Life]) -> Iterator[float]:
        """Say nothing but heartbeats for longer than a session may be idle."""
        assert BUDGETS.idle is not None
        for _ in range(4):
            yield BUDGETS.idle / 3
            assert self._ask(line, {"type": "ping"})["type"] == "pong"
        self._hear(line, crew)
        assert not any(life.must_live(self._loop.time()) for life in crew)

    def _send_again(self, line: Line, life: Life) -> None:
        """The last number again is answered by the same answer, and executed no second time."""
        if life.last is not None and life.must_live(self._loop.time()):
            frame, answer = life.last
            before = len(self._book.entries)
            again = self._ask(line, frame)
            if again["type"] != "error" or again["data"]["code"] != "SESSION_LOST":
                assert {**again, "id": 0} == {**answer, "id": 0}
            assert len(self._book.entries) == before
            self.events["sent again"] += 1
            forward = self._ask(line, {**frame, "seq": life.seq + 2})
            assert forward["data"]["code"] == "SEQUENCE_ERROR"

    def _part(self, line: Line, crew: list[Life]) -> Iterator[float]:
        """Leave as one should, or walk away and look later."""
        if self._random.random() < 0.6:
            for life in crew:
                assert self._ask(line, {"type": "close", "session": life.id})["type"] == "closed"
                life.closed = True
                self.events["closed"] += 1
            self._loop.settle(line.connection.lost)
            return
        self._lose(line, crew)
        yield BUDGETS.lease + LATE_S + 0.1
        again = self._line(line.format)
        for life in crew:
            assert not self._resume(again, life), "resumed after its lease"
        self._loop.settle(again.connection.lost)

    def _walk_in(self) -> Iterator[float]:
        """A session over plain HTTP, which nobody sees leave."""
        if self._manager.capacity().active_sessions >= SESSIONS:
            return
        session = self._loop.settle(lambda: self._manager.open(attached=False))
        self.events["opened over HTTP"] += 1
        for _ in range(self._random.randint(0, 3)):
            yield self._random.uniform(0, BUDGETS.unattached - 1)
            assert session in self._manager.sessions()
            self._loop.settle(lambda: session.state(lambda _reply: None))
        yield BUDGETS.unattached - 1
        assert session in self._manager.sessions()
        yield 1 + LATE_S
        assert session not in self._manager.sessions()
        self.events["ended: unattached"] += 1

    # --- moves -----------------------------------------------------------------------------------

    def _play(self, line: Line, life: Life, verb: str) -> None:
        frame: dict[str, Any] = {"type": verb, "session": life.id}
        number = next(self._numbers)
        if verb != "state":
            frame |= {"seq": life.seq + 1, "data": {"number": number}}
        answer = self._ask(line, frame)
        now = self._loop.time()
        if answer["type"] == "error":
            assert not life.must_live(now), answer
            return
        assert not life.must_be_over(now), f"{life} was served at {now}"
        life.used_at = now
        if verb != "state":
            life.seq += 1
            life.last = frame, answer
            assert answer["data"]["observation"]["number"] == number
            self._told.append(number)

    def _lose(self, line: Line, crew: list[Life]) -> None:
        self._loop.settle(line.connection.lost)
        for life in crew:
            life.lost_at = self._loop.time()
        self.events["connections lost"] += 1

    def _resume(self, line: Line, life: Life) -> bool:
        """Show the token; return whether the session is ours again."""
        wrong = self._ask(line, {"type": "resume", "session": life.id, "token": "forged"})
        assert wrong["type"] == "error"
        now = self._loop.time()
        answer = self._ask(line, {"type": "resume", "session": life.id, "token": life.token})
        if answer["type"] == "error":
            assert not life.must_live(now), f"{life} could not be resumed at {now}: {answer}"
            if answer["data"]["code"] == "SESSION_LOST":
                self.events[f"ended: {life.check_reason(answer['data']['message'], now)}"] += 1
            return False
        assert not life.must_be_over(now), f"{life} was resumed at {now}"
        assert answer["seq"] == life.seq
        life.lost_at = None
        self.events["resumed"] += 1
        return True

    def _hear(self, line: Line, crew: list[Life]) -> None:
        """What the server says unasked is true, and it says it in time."""
        self._read(line)
        now = self._loop.time()
        ended = {notice["session"]: notice["data"]["message"] for notice in line.notices}
        for life in crew:
            if life.id in ended:
                assert not life.must_live(now), ended[life.id]
                if "resumed by another" not in ended[life.id]:
                    self.events[f"ended and told: {life.check_reason(ended[life.id], now)}"] += 1
            elif life.lost_at is None:
                assert not life.must_be_over(now), f"nobody told that {life} is over"

    # --- frames ----------------------------------------------------------------------------------

    def _line(self, format_: Format | None = None) -> Line:
        chosen = format_ or self._random.choice((JSON, MSGPACK))
        replies: deque[bytes] = deque()
        connection = MultiplexConnection(
            self._manager, self._codec, chosen, replies.append, lambda _code: None, max_size=10**6
        )
        self._loop.settle(connection.opened)
        line = Line(connection, replies, chosen)
        assert self._ask(line, {"type": "hello", "version": 2})["type"] == "welcome"
        return line

    def _put(self, line: Line, frame: dict[str, Any]) -> None:
        self._loop.settle(lambda: line.connection.received(line.format.encode(frame)))

    def _ask(self, line: Line, frame: dict[str, Any]) -> dict[str, Any]:
        number = next(self._ids)
        self._put(line, {**frame, "id": number})
        answer = self._answer(line, number)
        assert answer is not None, f"no answer to {frame}"
        return answer

    def _answer(self, line: Line, number: int) -> dict[str, Any] | None:
        answers = {answer.get("id"): answer for answer in self._read(line)}
        return answers.get(number)

    def _read(self, line: Line) -> list[dict[str, Any]]:
        frames = [line.format.read(raw).data for raw in line.replies]
        line.replies.clear()
        line.notices += [frame for frame in frames if frame["type"] == "ended"]
        return [frame for frame in frames if frame["type"] != "ended"]

    # --- the end ---------------------------------------------------------------------------------

    def _check_the_end(self) -> None:
        self._loop.advance(2 * CLOSE_GRACE_S)
        assert not self._loop.failures, self._loop.failures
        assert self._manager.sessions() == []
        capacity = self._manager.capacity()
        assert (capacity.active_sessions, capacity.waiting) == (0, 0)
        self._book.check_order()
        self._book.check_closed()
        assert sorted(number for number in self._book.executed() if number) == sorted(self._told)
        self.events["steps and resets"] += len(self._told)
