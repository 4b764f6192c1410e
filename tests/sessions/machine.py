"""Sessions under whatever a network does: what is done to them, what must always be so, how it must end."""

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.sessions.cable import Cable, World
from tests.sessions.fates import cut, cut_for_the_client_only, fates
from tests.sessions.ledger import Ledger, Mark, kept_in

from openenv.client.mux import RemoteSession
from openenv.errors import BudgetExceededError, RequestError, SessionLost
from openenv.protocol.formats import JSON, MSGPACK, Incoming
from openenv.protocol.messages import ServerCapacityStatus
from openenv.server.budgets import Budgets
from openenv.server.manager import CLOSE_GRACE_S

LEASE_S, STEP_S = 40.0, 25.0

NOT_EXECUTED = {"NOT_RESET", "EPISODE_ENDED", "SESSION_NOT_FOUND", "VALIDATION_ERROR"}
EXECUTED = {"EXECUTION_ERROR"}
PERHAPS_EXECUTED = {"BUDGET_EXCEEDED", "CANCELLED", "SESSION_LOST", "SEQUENCE_ERROR"}

which = st.integers(0, 50)
"""Chooses one of however many there are."""


@dataclass(eq=False)
class Asked:
    """A request and whoever waits for its answer."""

    session: RemoteSession
    verb: str
    number: int
    task: "asyncio.Task[Incoming]"
    alone: bool = True


@dataclass(eq=False)
class Sessions:
    """What the machine knows of the sessions it has opened."""

    all: list[RemoteSession] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def one(self, which: int) -> RemoteSession:
        """Return one that lives, as far as the client knows; now and then, or if there is none, any."""
        choice = self.living() if self.living() and which % 25 else self.all
        return choice[which % len(choice)]

    def living(self) -> list[RemoteSession]:
        return [session for session in self.all if session.lost is None]

    def under_way(self, session: RemoteSession) -> list[Asked]:
        """Return what waits for an answer and changes the session."""
        waiting = [asked for asked in self.asked if asked.session is session and not asked.task.done()]
        return [asked for asked in waiting if asked.verb != "state"]


class SessionMachine(RuleBasedStateMachine):
    """One client with several sessions, one server, and bad luck between them.

    With `pipelined` a session has several requests under way at once. Then a loss may cost the answer to all but
    the last of them, for a session keeps no more; they must still be executed once, and in order.
    """

    environment: Any
    pipelined = False

    @initialize(format_=st.sampled_from([JSON, MSGPACK]), count=st.integers(1, 3), stuck=st.booleans())
    def begin(self, format_, count, stuck):
        self.stuck = stuck
        self.closed: list[RemoteSession] = []
        self.was_well: tuple[Cable, list[RemoteSession]] | None = None
        self.book = Ledger()
        budgets = Budgets(lease=LEASE_S, create=STEP_S, reset=STEP_S, step=STEP_S, state=STEP_S, queue=5.0)
        self.world = World(kept_in(self.book, self.environment), Mark, format_, sessions=4, budgets=budgets)
        self.loop = self.world.loop
        self.patch = mock.patch("openenv.client.socket.Socket.open", self.world.connect)
        self.patch.start()
        self.sessions, self.opening, self.numbers = Sessions(), [], 0
        self.connect(count)

    def start(self, coroutine: Any) -> "asyncio.Task[Any]":
        return self.world.begin(coroutine)

    # --- what a client does, and what becomes of it ------------------------------------------------

    @rule(count=st.integers(1, 3))
    @precondition(lambda self: self.world.client.socket is None and not self.sessions.living())
    def begin_again(self, count):
        """Do what a program does whose sessions are all lost."""
        closing = self.start(self.world.client.close())
        self.world.carry_everything()
        closing.result()
        self.world.new_client()
        self.connect(count)

    def connect(self, count: int) -> None:
        connecting = self.start(self.world.client.connect())
        self.world.carry_everything()
        connecting.result()
        self.open(count)
        self.world.carry_everything()
        self.every_reply_belongs_to_its_request()
        for place in range(1, len(self.sessions.living()) + 1):
            self.ask(place, "reset")
        self.world.carry_everything()

    @rule(which=which, verb=st.sampled_from([*["step"] * 5, *["reset"] * 2, "failing reset", "state"]), fate=fates)
    @precondition(lambda self: self.sessions.all)
    def ask_once(self, which, verb, fate):
        self.ask(which, verb.split()[-1], **({"fail": True} if verb == "failing reset" else {}))
        fate(self)

    @rule(which=which)
    @precondition(lambda self: self.sessions.all and self.world.client.socket is None)
    def ask_as_the_connection_comes_back(self, which):
        """In the very turn of the loop in which the server says welcome."""
        self.on_cable(Cable.carry_request)
        self.on_cable(lambda cable: (cable.carry_reply(), self.begin_to_ask(which, "step")))
        self.world.carry_everything()

    @rule(which=which, hold=st.booleans(), steps=st.integers(2, 4), fate=fates)
    @precondition(lambda self: self.sessions.all)
    def ask_for_several_steps(self, which, hold, steps, fate):
        """In several sessions; in one session one after the other, unless that is tested."""
        for step in range(steps):
            self.ask(which if self.pipelined else which + step, "step", hold=hold)
        fate(self)

    @rule(count=st.integers(1, 3), fate=fates)
    @precondition(lambda self: self.world.client.socket is not None and len(self.sessions.living()) < 6)
    def open_sessions(self, count, fate):
        self.open(count)
        fate(self)

    @rule(which=which, first=fates, closing=st.booleans(), then=fates)
    @precondition(lambda self: len(self.sessions.living()) > 1)
    def ask_and_think_better_of_it(self, which, first, closing, then):
        """Close the session, or cancel what is longest under way, whether it has gone out or not."""
        session = self.sessions.one(which)
        self.ask(which, "step", hold=True)
        first(self)
        if closing:
            self.closed.append(session)
            self.start(self.world.client.close_sessions([session]))
        else:
            for asked in self.sessions.under_way(session)[:1]:
                self.loop.settle(asked.task.cancel)
        then(self)

    def open(self, count: int) -> None:
        self.opening.append(self.start(self.world.client.open_sessions(count)))

    def ask(self, which: int, verb: str, **fields: bool) -> None:
        self.loop.settle(lambda: self.begin_to_ask(which, verb, **fields))

    def begin_to_ask(self, which: int, verb: str, **fields: bool) -> None:
        session = self.sessions.one(which)
        before = self.sessions.under_way(session)
        if verb != "state" and before and not self.pipelined:
            return
        self.numbers += 1
        data = None if verb == "state" else self.world.format.pack({"number": self.numbers, **fields}, "data")

        async def answer() -> Incoming:
            return await self.world.client.request(session, verb, data)

        task = self.loop.create_task(answer())
        asked = Asked(session, verb, self.numbers, task, alone=not before)
        if verb != "state":
            for other in before:
                other.alone = False
        self.sessions.asked.append(asked)

    # --- what a network does ---------------------------------------------------------------------

    @rule()
    def carry_everything(self):
        self.world.carry_everything()

    @rule(requests=st.integers(0, 2), replies=st.integers(0, 2))
    def carry_some(self, requests, replies):
        for _ in range(requests):
            self.on_cable(Cable.carry_request)
        for _ in range(replies):
            self.on_cable(Cable.carry_reply)

    @rule(which=which, times=st.integers(1, 3))
    def repeat_requests(self, which, times):
        cable = self.world.cables[-1]
        for place in range(which, which + times):
            if cable.carried:
                self.loop.settle(partial(cable.repeat, -1 - place % len(cable.carried)))

    @rule(fate=st.sampled_from([cut, cut_for_the_client_only]))
    def lose_the_connection(self, fate):
        fate(self)

    @rule(which=which)
    def let_the_server_notice(self, which):
        cable = self.world.cables[which % len(self.world.cables)]
        if not cable.plugged_in:
            self.loop.settle(cable.drop)

    @rule(seconds=st.sampled_from([0.1, 3.0, LEASE_S / 2]))
    def lose_the_server_for_a_while(self, seconds):
        self.world.reachable = False
        cut(self)
        self.loop.advance(seconds)
        self.world.reachable = True

    def on_cable(self, do: Any) -> None:
        cable = self.world.cables[-1]
        self.loop.settle(lambda: do(cable))

    # --- what an environment and a clock do ------------------------------------------------------

    @rule()
    def let_a_step_go(self):
        self.loop.settle(self.book.let_go)
        self.loop.settle(self.world.threads.finish)

    @rule(slow=st.booleans())
    def change_how_slow_threads_are(self, slow):
        self.world.threads.slow = slow

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.5, 1.0, 3.0, 6.0, STEP_S, LEASE_S * 1.5]))
    def let_time_pass(self, seconds):
        """No frame moves meanwhile, not even a heartbeat."""
        self.loop.advance(seconds)

    @rule(seconds=st.sampled_from([1.0, 6.0, STEP_S, LEASE_S * 1.5]))
    def let_time_pass_as_frames_flow(self, seconds):
        while seconds > 0:
            self.world.carry_everything()
            self.loop.advance(min(seconds, 2.0))
            seconds -= 2.0

    # --- what must always be so ------------------------------------------------------------------

    @invariant()
    def nothing_has_failed_unseen(self):
        assert not self.loop.failures, self.loop.failures

    @invariant()
    def every_step_is_executed_at_most_once_and_after_a_reset(self):
        executed = self.book.executed()
        assert len(executed) == len(set(executed)), "a step was executed twice"
        self.book.check_order()

    @invariant()
    def the_steps_of_a_session_are_executed_in_order(self):
        owner = {asked.number: asked.session for asked in self.sessions.asked}
        latest: dict[RemoteSession, int] = {}
        for number in self.book.executed():
            assert latest.get(owner[number], 0) < number, f"step {number} out of order"
            latest[owner[number]] = number

    @invariant()
    def no_session_is_lost_while_all_is_well(self):
        """Only a connection that is lost, a close, or a constructor that hangs may cost a session."""
        cable, client = self.world.cables[-1], self.world.client
        well = cable.plugged_in and cable.served and client.socket is cable and not client._resuming
        if well and self.was_well is not None and self.was_well[0] is cable:
            for session in self.was_well[1]:
                innocent = session in self.closed or isinstance(session.lost, BudgetExceededError)
                assert session.lost is None or innocent, session.lost
        self.was_well = (cable, self.sessions.living()) if well else None

    @invariant()
    def every_reply_belongs_to_its_request(self):
        executed = set(self.book.executed())
        for asked in self.sessions.asked:
            if asked.task.done() and not asked.task.cancelled():
                self.check(asked, executed)
        for task in [task for task in self.opening if task.done()]:
            self.opening.remove(task)
            if task.exception() is None:
                self.sessions.all += task.result()

    def check(self, asked: Asked, executed: set[int]) -> None:
        error = asked.task.exception()
        if error is not None:
            assert isinstance(error, SessionLost | BudgetExceededError), error
            assert asked.session.lost is not None
            return
        answer = asked.task.result()
        assert answer.data["session"] == asked.session.id
        if answer.kind == "error":
            code = RequestError.from_wire(answer.data["data"]).code
            assert code in NOT_EXECUTED | EXECUTED | PERHAPS_EXECUTED, answer
            assert code not in NOT_EXECUTED or asked.number not in executed
            assert code not in EXECUTED or asked.number in executed
            assert code != "SEQUENCE_ERROR" or (self.pipelined and not asked.alone)
        elif asked.verb == "state":
            assert answer.kind == "state"
        else:
            assert answer.kind == "observation"
            assert answer.data["data"]["observation"]["number"] == asked.number
            assert asked.number in executed

    # --- how it must end -------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.finish()
        finally:
            self.patch.stop()
            self.loop.close()

    def finish(self) -> None:
        """Mend everything; then everything is answered, and after the leases nothing is left.

        If all is `stuck`, no step that has begun is ever let go: then its budget must end it.
        """
        self.world.reachable, self.world.threads.slow = True, False
        for cable in self.world.cables:
            if not cable.served or not cable.plugged_in:
                self.loop.settle(cable.unplug)
                self.loop.settle(cable.drop)
        for _ in range(8):  # a client is back after 2 s at the latest; a session may have several steps to do
            self.go_on()
            self.world.carry_everything()
            self.loop.advance(STEP_S if self.stuck else 2.5)
            self.world.carry_everything()
        assert not [asked for asked in self.sessions.asked if not asked.task.done()], "a request without answer"
        assert not [task for task in self.opening if not task.done()], "nobody told whether sessions are open"
        self.every_reply_belongs_to_its_request()
        closing = self.start(self.world.client.close())
        self.world.carry_everything()
        self.loop.advance(CLOSE_GRACE_S)
        assert closing.done()
        for cable in self.world.cables:
            self.loop.settle(cable.drop)
        self.loop.advance(LEASE_S + 2 * CLOSE_GRACE_S)
        assert self.world.manager.sessions() == []
        assert self.world.manager.capacity() == ServerCapacityStatus(active_sessions=0, max_sessions=4, waiting=0)
        self.stuck = False
        self.go_on()
        self.book.check_order()
        self.book.check_closed()
        self.nothing_has_failed_unseen()
        assert not asyncio.all_tasks(self.loop), "a task was left"

    def go_on(self) -> None:
        """Let go of whatever waits."""
        while not self.stuck and (self.world.threads.busy or self.book.held):
            self.let_a_step_go()
