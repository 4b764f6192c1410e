"""Sessions under whatever a network does, driven by Hypothesis along whatever ways it finds."""

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest import mock

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from tests.sessions_v2.cable import Cable, World
from tests.sessions_v2.ledger import Awaited, Blocking, Inline, Ledger, Mark, kept_in

from openenv.client.mux import RemoteSession
from openenv.errors import RequestError, SessionLost
from openenv.protocol.formats import JSON, MSGPACK, Incoming
from openenv.server.budgets import Budgets
from openenv.server.manager import CLOSE_GRACE_S

LEASE_S, STEP_S = 40.0, 25.0

NOT_EXECUTED = {"NOT_RESET", "EPISODE_ENDED", "SESSION_NOT_FOUND", "VALIDATION_ERROR"}
PERHAPS_EXECUTED = {"BUDGET_EXCEEDED", "CANCELLED", "SESSION_LOST", "SEQUENCE_ERROR"}

which = st.integers(0, 50)
"""Chooses one of however many there are."""


# What becomes of the frames of a request. The first is the most frequent.


def flow(machine: "SessionMachine") -> None:
    machine.world.carry_everything()


def stay(machine: "SessionMachine") -> None:
    """Nothing moves."""


def cut(machine: "SessionMachine") -> None:
    """The frames are lost on their way, or have never been answered."""
    machine.on_cable(Cable.unplug)
    machine.on_cable(Cable.drop)


def cut_for_the_client_only(machine: "SessionMachine") -> None:
    """The server goes on holding the sessions for a connection that is dead."""
    machine.on_cable(Cable.unplug)


def arrive_and_cut(machine: "SessionMachine") -> None:
    """The request is executed, or begins to be, and its reply is lost."""
    machine.on_cable(Cable.carry_request)
    cut(machine)


def arrive_and_cut_for_the_client_only(machine: "SessionMachine") -> None:
    machine.on_cable(Cable.carry_request)
    cut_for_the_client_only(machine)


def arrive(machine: "SessionMachine") -> None:
    """The reply stays on its way."""
    machine.on_cable(Cable.carry_request)


def be_answered_and_cut(machine: "SessionMachine") -> None:
    machine.world.carry_everything()
    cut(machine)


fates = st.sampled_from(
    [
        *[flow] * 6,
        stay,
        cut,
        cut_for_the_client_only,
        arrive,
        arrive_and_cut,
        arrive_and_cut_for_the_client_only,
        be_answered_and_cut,
    ]
)


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

    @initialize(format_=st.sampled_from([JSON, MSGPACK]), count=st.integers(1, 3))
    def begin(self, format_, count):
        self.book = Ledger()
        budgets = Budgets(lease=LEASE_S, step=STEP_S, queue=5.0)
        self.world = World(kept_in(self.book, self.environment), Mark, format_, sessions=6, budgets=budgets)
        self.loop = self.world.loop
        self.patch = mock.patch("openenv.client.socket.Socket.open", self.world.connect)
        self.patch.start()
        self.sessions, self.opening, self.numbers = Sessions(), [], 0
        self.connect(count)

    def start(self, coroutine: Any) -> "asyncio.Task[Any]":
        return self.loop.settle(lambda: self.loop.create_task(coroutine))

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
        for place in range(len(self.sessions.living())):
            self.ask(place + 1, "reset")
        self.world.carry_everything()

    @rule(which=which, verb=st.sampled_from(["step", "step", "step", "reset", "state"]), fate=fates)
    @precondition(lambda self: self.sessions.all)
    def ask_once(self, which, verb, fate):
        self.ask(which, verb)
        fate(self)

    @rule(which=which, hold=st.booleans(), steps=st.integers(2, 4), fate=fates)
    @precondition(lambda self: self.sessions.all)
    def ask_for_several_steps(self, which, hold, steps, fate):
        """In several sessions; in one session one after the other, unless that is tested."""
        for step in range(steps):
            self.ask(which if self.pipelined else which + step, "step", hold)
        fate(self)

    @rule(count=st.integers(1, 3), fate=fates)
    @precondition(lambda self: self.world.client.socket is not None and len(self.sessions.all) < 8)
    def open_sessions(self, count, fate):
        self.open(count)
        fate(self)

    @rule(which=which, fate=fates)
    def cancel(self, which, fate):
        waiting = [asked for asked in self.sessions.asked if not asked.task.done()]
        if waiting:
            self.loop.settle(waiting[which % len(waiting)].task.cancel)
            fate(self)

    @rule(which=which, fate=fates)
    @precondition(lambda self: len(self.sessions.living()) > 1)
    def close(self, which, fate):
        self.start(self.world.client.close_sessions([self.sessions.one(which)]))
        fate(self)

    def open(self, count: int) -> None:
        self.opening.append(self.start(self.world.client.open_sessions(count)))

    def ask(self, which: int, verb: str, hold: bool = False) -> None:
        session = self.sessions.one(which)
        before = self.sessions.under_way(session)
        if verb != "state" and before and not self.pipelined:
            return
        self.numbers += 1
        fields = {"number": self.numbers, "hold": hold} if verb == "step" else {"number": self.numbers}
        data = None if verb == "state" else self.world.format.pack(fields, "data")
        task = self.start(self.world.client.request(session, verb, data))
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
        self.loop.advance(seconds)

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
            assert isinstance(error, SessionLost), error
            assert asked.session.lost is not None
            return
        answer = asked.task.result()
        assert answer.data["session"] == asked.session.id
        if answer.kind == "error":
            code = RequestError.from_wire(answer.data["data"]).code
            assert code in NOT_EXECUTED or code in PERHAPS_EXECUTED, answer
            assert code not in NOT_EXECUTED or asked.number not in executed
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
        """Mend everything; then everything is answered, and after the leases nothing is left."""
        self.world.reachable, self.world.threads.slow = True, False
        for cable in self.world.cables:
            if not cable.served or not cable.plugged_in:
                self.loop.settle(cable.unplug)
                self.loop.settle(cable.drop)
        for _ in range(8):  # a session resumes after 2 s at the latest, and may have several steps in its queue
            while self.world.threads.busy or self.book.held:
                self.let_a_step_go()
            self.world.carry_everything()
            self.loop.advance(2.5)
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
        assert self.world.manager.capacity().active_sessions == 0
        self.book.check_order()
        self.book.check_closed()
        self.nothing_has_failed_unseen()
        assert not asyncio.all_tasks(self.loop), "a task was left"


ENVIRONMENTS = [Blocking, Inline, Awaited]
PHASES = [Phase.generate, Phase.shrink]  # explaining would run for minutes


@pytest.mark.parametrize("pipelined", [False, True], ids=["one-by-one", "pipelined"])
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_step_is_executed_once_whatever_the_network_does(environment, pipelined):
    machine = type("Machine", (SessionMachine,), {"environment": environment, "pipelined": pipelined})
    run_machine(machine, settings=settings(max_examples=15, stateful_step_count=40, phases=PHASES))


@pytest.mark.slow
@pytest.mark.parametrize("pipelined", [False, True], ids=["one-by-one", "pipelined"])
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_step_is_executed_once_along_a_thousand_ways(environment, pipelined):
    machine = type("Machine", (SessionMachine,), {"environment": environment, "pipelined": pipelined})
    run_machine(machine, settings=settings(max_examples=30, stateful_step_count=50, phases=PHASES))
