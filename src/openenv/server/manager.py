"""All sessions of one server: who may open one, and that none outlives its use.

A session is attached (a connection holds it), detached (its connection was lost; it has a lease and may be
resumed) or unattached (plain HTTP, where nobody sees its user leave). One timer watches all of their limits.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial

from openenv.environment.adapter import describe_class
from openenv.environment.base import Environment
from openenv.environment.keeping import StateKeeper
from openenv.errors import (
    RequestError,
    SessionCapacityError,
    SessionLost,
    SessionNotFoundError,
)
from openenv.mcp.actions import ActionTools
from openenv.models import EnvironmentMetadata
from openenv.protocol.codes import ServerMode
from openenv.protocol.messages import ConcurrencyConfig, ServerCapacityStatus, SessionListing
from openenv.server.budgets import Budgets
from openenv.server.copying import with_capabilities
from openenv.server.given import is_safe
from openenv.server.host import Reply
from openenv.server.mcp.peer import Peer
from openenv.server.runner import Factory, LocalRunner, Runner
from openenv.server.sessions import CLOSED, STOPPED, Phase, Session
from openenv.server.slots import Slots
from openenv.server.snapshots import SnapshotLimits, Snapshots
from openenv.server.threads import ThreadPool
from openenv.server.waiting import WaitingRoom
from openenv.server.worker.forks import ForkServer
from openenv.server.worker.runner import WorkerRunner
from openenv.server.worker.twins import CAN_FORK

ENDS_KEPT = 1024
"""Ended sessions whose reason is remembered, for a client that asks for one later."""

CLOSE_GRACE_S = 5.0
"""Seconds after which the slot of an ended session is free although its last step still runs."""


class SessionManager:
    """Opens, finds and ends sessions.

    Args:
        factory: Makes the environment of a session.
        config: How many sessions, and how long they may idle.
        budgets: How long things may take.
        forks: Makes a process for each session; without it environments run in this one.
        shared: The factory always returns the same instance, closed only at shutdown.
        strict: Refuse arguments that an environment does not declare.
        mode: Whom it serves. In production clients are not told the class and message of exceptions.
        name: What `describe` calls the environment, if not by its own name.
        clock: Tells the time in seconds; leases and idle times are measured by it.
        snapshots: How many snapshots it keeps.
        tools: The actions of its environment as tools; none by default.

    Attributes:
        factory: Makes the environment of a session.
        slots: Counts the sessions; shared with other processes if the server is several.
        mode: Whom it serves.
        tools: The actions of its environment as tools.
        snapshots: Those it keeps.
    """

    def __init__(
        self,
        factory: Factory,
        config: ConcurrencyConfig,
        *,
        budgets: Budgets | None = None,
        forks: ForkServer | None = None,
        name: str | None = None,
        shared: bool = False,
        strict: bool = False,
        mode: str = ServerMode.SIMULATION,
        clock: Callable[[], float] = time.monotonic,
        snapshots: SnapshotLimits | None = None,
        tools: ActionTools | None = None,
    ) -> None:
        self.config = config
        self.slots = Slots()
        self.tools = tools or ActionTools(None, None)
        self._clock = clock
        budgets = budgets or Budgets()
        self.budgets = (
            budgets.model_copy(update={"idle": config.session_timeout}) if config.session_timeout else budgets
        )
        self.snapshots = Snapshots(
            snapshots or SnapshotLimits(), self.budgets.snapshot_lease, lambda: self.slots, clock
        )
        self.factory = factory
        self._name = name
        self._metadata: EnvironmentMetadata | None = None
        self._shared = shared
        self._strict = strict
        self.mode = mode
        self._expose_errors = mode == ServerMode.SIMULATION
        self._sessions: dict[str, Session] = {}
        self._unattached: set[str] = set()
        self._watched: set[str] = set()
        self._holding: set[str] = set()  # ids of the sessions that have a slot, until their grace is over
        self._ends: dict[str, RequestError] = {}
        self._graces: dict[str, asyncio.TimerHandle] = {}
        self._may_overlap = forks is not None or (is_safe(factory) and not shared)
        self._waiting = WaitingRoom(lambda: self.slots, config, self.budgets, self._begin)
        self._pool: ThreadPool | None = None
        self._forks = forks
        self._watch: asyncio.TimerHandle | None = None
        self._default: Session | None = None
        self._all_gone: asyncio.Event | None = None

    # --- opening and finding ---------------------------------------------------------------------

    def open(self, *, attached: bool = True, on_end: Callable[[RequestError], None] | None = None) -> Session:
        """Open a session now; its environment is constructed in the background.

        Args:
            attached: A connection holds it.
            on_end: Called if the session ends before its user ends it.

        Raises:
            SessionCapacityError: Every slot is taken.
        """
        limit = self.config.max_concurrent_envs
        if not self.slots.take(limit, time.monotonic_ns()):
            raise self._full(1)
        return self._begin(attached, on_end)

    def _begin(self, attached: bool = True, on_end: Callable[[RequestError], None] | None = None) -> Session:
        """Make a session in a slot that has been taken."""
        session = self._make(attached, on_end, self.slots.new_id())
        session.open()
        return session

    def take_slots(self, count: int) -> None:
        """Take slots for forks.

        Raises:
            SessionCapacityError: There are not so many.
        """
        since = time.monotonic_ns()
        for taken in range(count):
            if not self.slots.take(self.config.max_concurrent_envs, since):
                self.give_slots(taken)
                raise self._full(count)

    def give_slots(self, count: int) -> None:
        """Give slots back in which no session was made."""
        for _ in range(count):
            self.slots.give()
        self._waiting.admit()

    def make_fork(
        self, parent: Session, session_id: str, runner: Runner | None, on_end: Callable[[RequestError], None]
    ) -> Session:
        """Make a session for a fork of another, in a slot that has been taken.

        Args:
            parent: The other.
            session_id: Its id.
            runner: Keeps the fork of its environment; without it a new environment is constructed.
            on_end: Called if the session ends.
        """
        session = self._make(True, on_end, session_id, runner)
        session.use(parent.format)
        if runner is None:
            session.open()
        return session

    def _make(
        self,
        attached: bool,
        on_end: Callable[[RequestError], None] | None,
        session_id: str,
        runner: Runner | None = None,
    ) -> Session:
        session = Session(
            self._runner,
            self._gone,
            budgets=self.budgets,
            session_id=session_id,
            runner=runner,
            clock=self._clock,
        )
        session.make_peer = self._peer
        self.attach(session, on_end)
        self._sessions[session.id] = session
        self._holding.add(session.id)
        if not attached:
            self._unattached.add(session.id)
        if not attached or self.budgets.idle is not None or self.budgets.lifetime is not None:
            self._watch_over(session)
        return session

    def _peer(self, session: Session) -> Peer:
        """Return the MCP client of a session whose trainer calls tools by JSON-RPC."""
        return Peer(self, session)

    def refuse_more_than_fit(self, count: int, *, waiting: bool = False) -> None:
        """Make sure that there is room for so many sessions, or can be for who is `waiting`.

        Raises:
            SessionCapacityError: There is not.
        """
        limit = self.config.max_concurrent_envs
        if count > (limit if waiting else limit - self.slots.taken):
            raise self._full(count)

    def _full(self, count: int) -> SessionCapacityError:
        active, limit = self.slots.taken, self.config.max_concurrent_envs
        wanted = f", and {count} more are wanted" if count > 1 else ""
        return SessionCapacityError(
            f"Server at capacity: {active}/{limit} sessions active{wanted}. "
            "Close one, wait, or raise max_concurrent_envs",
            active_sessions=active,
            max_sessions=limit,
            retry_after=1.0,
        )

    def open_when_free(
        self, opened: Callable[[Session], None], refused: Callable[[RequestError], None]
    ) -> Callable[[], None]:
        """Open a session now or when a slot is free, within the queue budget.

        Args:
            opened: Called with the session.
            refused: Called instead with SessionCapacityError.

        Returns:
            A function that gives up waiting.
        """
        try:
            opened(self.open())
        except SessionCapacityError as error:
            return self._waiting.join(opened, refused, error)
        return lambda: None

    def get(self, session_id: str) -> Session:
        """Return an open session.

        Raises:
            SessionNotFoundError: There is none of this id.
            RequestError: There was one; this is why it ended.
        """
        try:
            return self._sessions[session_id]
        except KeyError:
            if session_id in self._ends:
                raise self._ends[session_id] from None
            self.slots.elsewhere(session_id)  # raises if it was in a process that is gone
            raise SessionNotFoundError(
                f"No session {session_id!r}: it was closed, has expired, or is of another server"
            ) from None

    def get_unattached(self, session_id: str) -> Session:
        """Return a session that was opened over plain HTTP; one of version 2 is reached by its token only.

        Raises:
            SessionNotFoundError: There is none of this id.
        """
        session = self.get(session_id)
        if session_id not in self._unattached:
            raise SessionNotFoundError(f"Session {session_id!r} was not opened over HTTP: resume it with its token")
        return session

    def end_of(self, session_id: str) -> RequestError | None:
        """Return why a session has ended, if there was one of this id and it is still remembered."""
        return self._ends.get(session_id)

    def default(self) -> Session:
        """Return the one session that requests without a session id share; open it if there is none.

        Raises:
            SessionCapacityError: It would have to be opened and every slot is taken.
        """
        if self._default is None:
            self._default = self.open(attached=False)
        return self._default

    def attach(self, session: Session, on_end: Callable[[RequestError], None] | None) -> None:
        """Make a connection the holder of a session, in place of whatever held it."""
        session.lease_until = None
        session.on_end = lambda reason: self._ended(session, reason, on_end)

    def detach(self, session: Session) -> None:
        """Let a session wait for its client, for the length of its lease."""
        self.attach(session, None)
        session.lease_until = self._clock() + self.budgets.lease
        self._watch_over(session)

    # --- what a server says of itself ------------------------------------------------------------

    def capacity(self) -> ServerCapacityStatus:
        """Return how many sessions there are and may be."""
        return ServerCapacityStatus(
            active_sessions=self.slots.taken,
            max_sessions=self.config.max_concurrent_envs,
            waiting=self.slots.waiting,
        )

    def sessions(self) -> list[Session]:
        """Return all open sessions."""
        return list(self._sessions.values())

    def listing(self) -> list[SessionListing]:
        """Return what anybody may know of the open sessions, the oldest first."""
        return [session.listing(session.id in self._unattached) for session in self.sessions()]

    async def describe(self) -> EnvironmentMetadata:
        """Return what the environment says about itself; asks an instance where the class overrides it."""
        if self._metadata is None:
            overridden = getattr(self.factory, "get_metadata", None) is not Environment.get_metadata
            metadata = await self._ask_instance() if overridden else self._describe_class()
            self._metadata = self._named(metadata)
        return self._metadata

    def described(self) -> EnvironmentMetadata:
        """Return the same without asking: by name and docstring, if nobody has asked before."""
        return self._metadata or self._named(self._describe_class())

    def _named(self, metadata: EnvironmentMetadata) -> EnvironmentMetadata:
        return metadata.model_copy(update={"name": self._name}) if self._name else metadata

    def _describe_class(self) -> EnvironmentMetadata:
        keeper = StateKeeper(self.factory)
        copies = "state" if keeper.keeps else "fork" if CAN_FORK and self._forks is not None else ""
        return with_capabilities(describe_class(self.factory), copies, keeper.reseeds)

    async def _ask_instance(self) -> EnvironmentMetadata:
        for session in sorted(self.sessions(), key=lambda session: session.phase is Phase.CREATING):
            if session.phase is Phase.CREATING:  # another one would take as long, and may not be wanted beside it
                came: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                session.say(Reply("", b""), partial(_came, came))
                await came
            known = session.metadata()
            if known is not None:
                return known
        runner = self._runner("metadata")
        started: asyncio.Future[RequestError | None] = asyncio.get_running_loop().create_future()
        runner.start(lambda error: None if started.done() else started.set_result(error))
        try:
            if (error := await started) is not None:
                raise error
            return with_capabilities(runner.metadata(), runner.copies, runner.reseeds)
        finally:
            runner.close(lambda: None)

    def _runner(self, label: str) -> Runner:
        if self._forks is not None:
            return WorkerRunner(
                self._forks,
                self._forks.codec,
                strict=self._strict,
                expose_errors=self._expose_errors,
                mode=self.mode,
                label=label,
            )
        if self._pool is None:
            self._pool = ThreadPool(asyncio.get_running_loop())
        return LocalRunner(
            self.factory,
            self._pool,
            strict=self._strict,
            expose_errors=self._expose_errors,
            mode=self.mode,
            keep=self._shared,
            label=label,
        )

    # --- ends ------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End all sessions because the server stops, and tell whoever holds one; nobody waits any longer."""
        self._waiting.refuse_all()
        for session in self.sessions():
            session.end(STOPPED)

    async def close(self, grace_s: float = CLOSE_GRACE_S) -> None:
        """Stop, and wait until the environments are closed, for the grace time at most."""
        self.stop()
        self.snapshots.close()
        if self._holding:
            self._all_gone = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._all_gone.wait()
        if self._watch is not None:
            self._watch.cancel()
        if self._pool is not None:
            self._pool.close()
        if self._forks is not None:
            self._forks.close()

    def _ended(self, session: Session, reason: RequestError, tell: Callable[[RequestError], None] | None) -> None:
        """Forget an ended session; its slot stays taken until its environment is closed or the grace is over."""
        self._sessions.pop(session.id, None)
        self.snapshots.session_ended(session.id)
        if reason is not CLOSED:
            self._ends[session.id] = reason
            if len(self._ends) > ENDS_KEPT:
                del self._ends[next(iter(self._ends))]
        self._unattached.discard(session.id)
        self._watched.discard(session.id)
        if session is self._default:
            self._default = None
        if self._may_overlap:  # else another must not run beside what is left of it
            self._graces[session.id] = asyncio.get_running_loop().call_later(CLOSE_GRACE_S, self._gone, session)
        if tell is not None:
            tell(reason)

    def _gone(self, session: Session) -> None:
        if session.id not in self._holding:  # its grace was over before
            return
        self._holding.discard(session.id)
        self.slots.give()
        grace = self._graces.pop(session.id, None)
        if grace is not None:
            grace.cancel()
        self._waiting.admit()
        if self._all_gone is not None and not self._holding:
            self._all_gone.set()

    # --- the one timer ---------------------------------------------------------------------------

    def _watch_over(self, session: Session) -> None:
        self._watched.add(session.id)
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(self._pause(), self._look)

    def _pause(self) -> float:
        budgets = self.budgets
        limits = [budgets.lease, budgets.unattached, budgets.idle, budgets.lifetime]
        return min(max(min(s for s in limits if s is not None) / 8, 0.02), 5.0)

    def _look(self) -> None:
        self._watch = None
        now = self._clock()
        for session_id in list(self._watched):
            session = self._sessions.get(session_id)
            if session is not None and (reason := self._over(session, now)):
                session.end(SessionLost(reason))
        if self._watched:
            self._watch = asyncio.get_running_loop().call_later(self._pause(), self._look)

    def _over(self, session: Session, now: float) -> str | None:
        """Return why a session is to be ended, if it is."""
        budgets = self.budgets
        if session.lease_until is not None and now >= session.lease_until:
            return f"The connection was lost and nobody resumed the session within its lease of {budgets.lease:g} s"
        if budgets.lifetime is not None and now - session.opened_at > budgets.lifetime:
            return f"The session has reached its lifetime budget of {budgets.lifetime:g} s"
        idle = budgets.unattached if session.id in self._unattached else budgets.idle
        if budgets.idle is not None and idle is not None:
            idle = min(idle, budgets.idle)
        if idle is not None and not session.busy and now - session.last_activity > idle:
            return f"The session had no request for {idle:g} s (idle budget)"
        return None


def _came(came: asyncio.Future[None], _reply: Reply) -> None:
    if not came.done():  # whoever waited may have been cancelled
        came.set_result(None)
