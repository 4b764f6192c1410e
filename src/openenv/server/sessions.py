"""A session: one environment, one episode at a time, one order of requests.

The session is a reactor. A request is a plain call and its `reply` is called exactly once on the event loop, at
once where the environment does not block. Requests run one at a time in order of arrival. What is legal when is
the table `_REFUSED`; how a session ends is `end`, for every reason there is.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from functools import partial
from typing import Any

from openenv.errors import (
    BudgetExceededError,
    EpisodeEndedError,
    NotResetError,
    RequestCancelledError,
    RequestError,
    SequenceError,
    SessionLost,
)
from openenv.mcp.types import ListToolsAction
from openenv.models import EnvironmentMetadata
from openenv.protocol.formats import JSON, Format
from openenv.protocol.messages import SessionInfo, SessionListing
from openenv.server.budgets import Budgets
from openenv.server.copying import Forking, with_capabilities
from openenv.server.host import Answer, Operation, Reply, ResetOp, StateOp, StepOp
from openenv.server.progress import Tell
from openenv.server.requests import Copied, CopyOperation, Episode, OnReply, Request
from openenv.server.runner import Runner, StepNow
from openenv.server.snapshots import Point


class Phase(Enum):
    """Where a session stands."""

    CREATING = "creating"
    READY = "ready"
    RUNNING = "running"
    ENDED = "ended"
    BROKEN = "broken"
    CLOSED = "closed"


CLOSED = SessionLost("The session was closed")
"""The reason of a session that was ended by its user."""

STOPPED = SessionLost("The server is shutting down")
"""The reason of a session whose server is stopped in good order."""

_NOT_RESET = "This session has no episode yet: call reset() before step()"
_NOTHING_TO_COPY = "This session has no episode that could be kept or forked: call reset() first"
_EPISODE_ENDED = "The episode has ended: call reset() to start the next one"

# What is refused in which phase. What is not here is legal; a broken session is refused with what broke it.
_REFUSED: dict[tuple[str, Phase], Callable[[], RequestError]] = {
    ("snapshot", Phase.READY): lambda: NotResetError(_NOTHING_TO_COPY),
    ("fork", Phase.READY): lambda: NotResetError(_NOTHING_TO_COPY),
    ("step", Phase.READY): lambda: NotResetError(_NOT_RESET),
    ("step", Phase.ENDED): lambda: EpisodeEndedError(_EPISODE_ENDED),
}


def public_name(session_id: str) -> str:
    """Return a name for a session that is the same each time and from which its id can not be found."""
    return hashlib.sha256(session_id.encode()).hexdigest()[:16]


def _no_peer(_session: Any) -> Any:
    raise AssertionError("a session of no manager has no peer")


Observer = Callable[[Any, Reply], None]
"""Told of an operation and of the answer that was given."""


class Session:
    """One environment with everything that belongs to it.

    Args:
        make_runner: Makes a runner for a new environment; again when the environment has to be replaced.
        on_gone: Called once, when the environment is closed and nothing is left.
        budgets: How long things may take.
        session_id: Its id; made up if not given.
        runner: Keeps its environment already; by default one is made.
        clock: Tells the time in seconds.

    Attributes:
        id: Its id.
        token: Proves the right to resume or close it.
        phase: Where it stands.
        episode: The running or last episode.
        seq: Number of the last state-changing request, for connections that count them.
        on_end: Called if it ends, with the reason.
        holder: The connection that holds it, if that is of version 2.
        lease_until: Monotonic time until which it lives with nobody attached; None while somebody is.
        forkings: Forks of it that are coming up.
        peer: The MCP client that uses it, if one does; see `openenv.server.mcp`.
        make_peer: Makes the peer of a session whose trainer calls tools by JSON-RPC.
        shown: The answer to the last reset or step that went well; None before the first.
        last_reset: The last reset that was begun, whatever came of it.
    """

    def __init__(
        self,
        make_runner: Callable[[str], Runner],
        on_gone: Callable[[Session], None],
        *,
        budgets: Budgets | None = None,
        session_id: str | None = None,
        runner: Runner | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self.id = session_id or str(uuid.uuid4())
        self.token = secrets.token_urlsafe(16)
        self.phase = Phase.CREATING
        self.episode: Episode | None = None
        self.seq = 0
        self.created_at = time.time()
        self.opened_at = self.last_activity = clock()
        self.on_end: Callable[[RequestError], None] | None = None
        self.lease_until: float | None = None
        self.holder: Any = None
        self.peer: Any = None
        self.make_peer: Callable[[Session], Any] = _no_peer
        self.shown: Reply | None = None
        self.last_reset: ResetOp | None = None
        self.format: Format = JSON
        self._budgets = budgets or Budgets()
        self._make_runner = make_runner
        self._runner = runner or make_runner(self.id)
        self._on_gone = on_gone
        self._queue: deque[Request] = deque()
        self._current: Request | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._pumping = False
        self._ended: RequestError | None = None
        self._fault: RequestError | None = None
        self._numbered: Request | None = None
        self._kept: Reply | None = None
        self._leaving = 0
        self.forkings: set[Forking] = set()
        self._now: StepNow | None = None
        self._observers: list[Observer] = []
        self._own_peer: Any = None

    # --- what can be asked -----------------------------------------------------------------------

    def peer_of_holder(self) -> Any:
        """Return the MCP client that the session's own trainer is, by the old way of calling tools."""
        if self._own_peer is None:
            self._own_peer = self.make_peer(self)
        return self._own_peer

    def observe(self, observer: Observer) -> None:
        """Have a function told of every reset and step, and what came of it, when it has been answered."""
        self._observers.append(observer)
        self._now = None  # the fast way leaves them out

    def unobserve(self, observer: Observer) -> None:
        """Have a function told no longer."""
        self._observers.remove(observer)
        if self.phase in (Phase.READY, Phase.RUNNING, Phase.ENDED):
            self._allow_steps_now()

    def open(self) -> None:
        """Start constructing the environment. Requests wait until it is there."""
        self._start_runner()

    def reset(
        self,
        reply: OnReply,
        *,
        seed: int | None = None,
        episode_id: str | None = None,
        options: dict[str, Any] | None = None,
        progress: Tell | None = None,
    ) -> Request:
        """Start a new episode."""
        return self.submit(Request(ResetOp(seed, episode_id, options), reply, progress=progress))

    def step(
        self,
        reply: OnReply,
        action: Any,
        *,
        timeout_s: float | None = None,
        options: dict[str, Any] | None = None,
        progress: Tell | None = None,
    ) -> Request:
        """Take a step with a validated action."""
        return self.submit(Request(StepOp(action, timeout_s, options), reply, progress=progress))

    def interrupt(self) -> bool:
        """Stop what is running, as `cancel` does; return False if nothing is."""
        return self._current is not None and self.cancel(self._current)

    def state(self, reply: OnReply) -> Request:
        """Read the state."""
        return self.submit(Request(StateOp({}), reply))

    def say(self, known: Reply, reply: OnReply) -> Request:
        """Give an answer that is known already, when its turn comes."""
        return self.submit(Request(None, reply, known=known))

    def numbered(self, seq: int, operation: Operation | CopyOperation, reply: OnReply) -> Request | None:
        """Run a state-changing request under a sequence number, at most once.

        The last number again gets the kept answer, or the running request's when it is there.
        """
        if seq == self.seq + 1:
            self.seq = seq
            self._kept = None
            self._numbered = Request(operation, reply)
            return self.submit(self._numbered)
        if seq == self.seq and seq > 0:
            last = self._numbered
            kept = self._kept if last is None else last.given
            if kept is not None:
                reply(kept)
            elif last is not None:
                last.also = last.also or []
                last.also.append(reply)
            return last
        reply(Reply.failed(self._out_of_order(seq), self.format))
        return None

    def step_now(self, seq: int, action: Any) -> Reply | None:
        """Take a numbered step on the spot where nothing stands in the way; else None, and nothing was done.

        It does what `numbered` does with a step. The point is what it leaves out: queue, timers and callbacks.
        """
        if seq != self.seq + 1 or self.phase is not Phase.RUNNING or self._now is None or self._busy or self._queue:
            return None
        answer = self._now(action)
        if answer is None:  # it takes long
            return None
        self.seq = seq
        self._numbered = None
        self.last_activity = self._clock()
        if type(answer) is Answer and answer.error is None:
            assert self.episode is not None
            self.episode.steps += 1
            if answer.done:
                self.phase = Phase.ENDED
            self._kept = self.shown = answer
            return answer
        self._kept = reply = self._reply(StepOp(action), answer)
        return reply

    def refuse(self, seq: int, error: RequestError, reply: OnReply) -> None:
        """Use up a sequence number for a request that could not be understood; the error is its answer."""
        answer = Reply.failed(error, self.format)
        if seq == self.seq + 1:
            self.seq = seq
            self._numbered = None
            self._kept = answer
        reply(answer)

    def cancel(self, request: Request) -> bool:
        """Stop a request; it is answered with CANCELLED. Return False if it has been answered."""
        error = RequestCancelledError("The request was cancelled")
        if request in self._queue:
            self._queue.remove(request)
            request.answer(Reply.failed(error, self.format))
            return True
        if request is not self._current:
            return False
        self._break(error)
        return True

    def use(self, format_: Format) -> None:
        """Encode answers in this format from now on."""
        if format_ is not self.format:
            self.shown = None  # it is in the other one
        self.format = format_
        self._runner.use(format_)

    def end(self, reason: RequestError | None = None) -> None:
        """End the session, for whatever reason: the one way out.

        Everything unanswered is answered with the reason, what runs is stopped if it can be, and the environment
        is closed as soon as it is not running.
        """
        if self.phase is Phase.CLOSED:
            return
        self.phase = Phase.CLOSED
        self._ended = reason or CLOSED
        unanswered = [self._current] if self._current is not None else []
        unanswered += self._queue
        self._queue.clear()
        self._current = None
        self._clear_timer()
        for request in unanswered:
            request.answer(Reply.failed(self._ended, self.format))
        for forking in list(self.forkings):
            forking.abandon(self._ended)
        if self.on_end is not None:
            self.on_end(self._ended)
        if self.peer is not None:
            self.peer.ended()
        if self._busy:
            self._runner.stop()
        else:
            self._leave(self._runner)

    @property
    def allows_step_without_reset(self) -> bool:
        """Whether its environment does, once it is there."""
        return self._runner.allows_step_without_reset

    @property
    def is_closed(self) -> bool:
        """Whether it has ended."""
        return self.phase is Phase.CLOSED

    def touch(self) -> None:
        """Its user is there, if without a request."""
        self.last_activity = self._clock()

    @property
    def busy(self) -> bool:
        """Whether a request is running or waiting."""
        return self._busy or bool(self._queue)

    @property
    def is_being_reset(self) -> bool:
        """Whether a reset is running or waiting."""
        asked = self._queue if self._current is None else (self._current, *self._queue)
        return any(isinstance(request.operation, ResetOp) for request in asked)

    def metadata(self) -> EnvironmentMetadata | None:
        """Return what the environment says about itself, once it is there."""
        runner = self._runner
        if not runner.environment_type:
            return None
        return with_capabilities(runner.metadata(), runner.copies, runner.reseeds)

    def info(self) -> SessionInfo:
        """Return how the session stands."""
        return SessionInfo(
            session_id=self.id,
            phase=self.phase.value,
            episode_id=self.episode.id if self.episode else None,
            step_count=self.episode.steps if self.episode else 0,
            created_at=self.created_at,
            last_activity_at=time.time() - (self._clock() - self.last_activity),
            environment_type=self._runner.environment_type,
        )

    def listing(self, unattached: bool) -> SessionListing:
        """Return what anybody may know of it. Its id is none of that: over HTTP whoever knows it may use it.

        Args:
            unattached: It was opened over plain HTTP.
        """
        now, info = self._clock(), self.info()
        detached = self.lease_until is not None
        return SessionListing(
            session=public_name(self.id),
            phase=info.phase,
            held="http" if unattached else "detached" if detached else "attached",
            runs=self._runner.kind,
            environment_type=info.environment_type,
            episode_id=info.episode_id,
            step_count=info.step_count,
            busy=self.busy,
            age_s=round(now - self.opened_at, 3),
            idle_s=round(now - self.last_activity, 3),
            lease_left_s=None if self.lease_until is None else round(max(0.0, self.lease_until - now), 3),
        )

    # --- one request at a time -------------------------------------------------------------------

    def submit(self, request: Request) -> Request:
        """Run the request after those before it."""
        if self._ended is not None:
            request.answer(Reply.failed(self._ended, self.format))
            return request
        self.last_activity = self._clock()
        self._queue.append(request)
        self._pump()
        return request

    def _pump(self) -> None:
        if self._pumping:  # called from within, by a request that finished at once: the loop below goes on
            return
        self._pumping = True
        try:
            while self._queue and not self._busy:
                self._run(self._queue.popleft())
        finally:
            self._pumping = False

    def _run(self, request: Request) -> None:
        operation = request.operation
        if operation is None:
            assert request.known is not None
            request.answer(request.known)
            return
        verb = operation.verb
        if self.phase is Phase.BROKEN:
            assert self._fault is not None
            if verb not in ("reset", "restore"):
                request.answer(Reply.failed(self._fault, self.format))
                return
            self._queue.appendleft(request)
            self._replace_environment(operation)
            return
        refusal = _REFUSED.get((verb, self.phase))
        if refusal is not None and not self._runner.allows_step_without_reset and not self._only_asks(operation):
            request.answer(Reply.failed(refusal(), self.format))
            return
        if isinstance(operation, StateOp):
            operation.known = self._known()
            operation.forked = self.episode is not None and self.episode.parent_id is not None
        elif isinstance(operation, CopyOperation):
            self._copy(request, operation)
            return
        if isinstance(operation, ResetOp):
            self.last_reset = operation
        self._busy = True
        self._current = request
        seconds = self._budget(operation)
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._over_budget, verb, seconds)
        runner = self._runner
        listens = self.seq or request.progress is not None  # version 2 says so when the request runs already
        progress = partial(self._progressed, request) if listens else None
        runner.run(operation, lambda answer: self._answered(runner, request, answer), progress)

    def _only_asks(self, operation: Operation | CopyOperation) -> bool:
        """Return whether a step is the question for the tools before the first reset, as older trainers put it."""
        asks = isinstance(operation, StepOp) and isinstance(operation.action, ListToolsAction)
        return asks and self.phase is Phase.READY

    def _progressed(self, request: Request, report: dict[str, Any]) -> None:
        if request is self._current and request.progress is not None:
            request.progress(report)

    def _answered(self, runner: Runner, request: Request, answer: Answer | RequestError) -> None:
        if runner is not self._runner or self._current is not request:
            # The session ended, or gave up on this environment, while it ran; it has been answered.
            self._leave(runner)
            return
        self._clear_timer()
        self._busy = False
        self._current = None
        self.last_activity = self._clock()
        assert request.operation is not None
        reply = self._reply(request.operation, answer)
        request.answer(reply)
        for observer in self._observers:
            observer(request.operation, reply)
        self._pump()

    def _reply(self, operation: Operation | CopyOperation, answer: Answer | RequestError) -> Reply:
        if isinstance(answer, RequestError):
            if isinstance(operation, ResetOp):
                self.phase, self.episode = Phase.READY, None  # nothing may be stepped that was not reset
            if answer.code == "ENVIRONMENT_DIED":
                self._fault = answer
                self.phase = Phase.BROKEN
            return Reply.failed(answer, self.format)
        if isinstance(operation, ResetOp):
            self.episode = Episode(seed=operation.seed)
            self.episode.id = operation.episode_id or self.episode.id
            self.phase = Phase.ENDED if answer.done else Phase.RUNNING
        elif isinstance(operation, StepOp):
            if self.episode is not None:
                self.episode.steps += 1
            if answer.done and self.phase is Phase.RUNNING:
                self.phase = Phase.ENDED
        elif answer.episode_id is not None and self.episode is not None:
            self.episode.id = answer.episode_id  # its environment makes up its own
        if answer.error is not None:
            return Reply.failed(answer.error, self.format)
        if isinstance(operation, ResetOp | StepOp):
            self.shown = answer
        return answer

    def _known(self) -> dict[str, Any]:
        """Return what the server has counted itself, for a state that leaves it open."""
        episode = self.episode
        if episode is None:
            return {}
        elapsed = round(time.monotonic() - episode.started, 6)
        return {"episode_id": episode.id, "step_count": episode.steps, "elapsed_time": elapsed}

    # --- kept, put back, forked ------------------------------------------------------------------

    def point(self) -> Point:
        """Return where it stands."""
        elapsed = time.monotonic() - self.episode.started if self.episode is not None else 0.0
        return Point(replace(self.episode) if self.episode is not None else None, self.phase, elapsed)

    def nowhere(self) -> Point:
        """Return where it stands if there is no episode."""
        return Point(None, Phase.READY)

    def stand_at(self, point: Point) -> None:
        """Stand where another session stood, or this one; the environment does already."""
        self.episode, self.phase = point.episode, point.phase
        self._allow_steps_now()

    def _allow_steps_now(self) -> None:
        """Have steps taken on the spot where nothing has to be done beside."""
        plain = self._budgets.step is None and not self._observers
        self._now = self._runner.step_now() if plain else None

    def packed(self, kind: str, data: dict[str, Any]) -> Reply:
        """Return an answer of plain values."""
        return Reply(kind, self.format.pack(data, kind))

    def is_waited_for(self, request: Request) -> bool:
        """Return whether a request is running; not if the session has ended, or given up on its environment."""
        return self._current is request

    def _copy(self, request: Request, operation: CopyOperation) -> None:
        self._busy = True
        self._current = request
        seconds = self._budgets.snapshot
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._over_budget, "snapshot", seconds)
        operation.begin(self, self._runner, request, partial(self._copied, self._runner, request))

    def _copied(self, runner: Runner, request: Request, copied: Copied) -> bool:
        """Go on; return whether the request was still waited for."""
        if runner is not self._runner or self._current is not request:
            self._leave(runner)
            return False
        self._clear_timer()
        self._busy = False
        self._current = None
        self.last_activity = self._clock()
        if copied.runner is not None:
            self._leave(runner)
            self._runner = copied.runner
            self._runner.use(self.format)
        if copied.point is not None:
            self.stand_at(copied.point)
        if copied.error is not None:
            assert request.operation is not None
            request.answer(self._reply(request.operation, copied.error))
        elif copied.reply is not None:
            request.answer(copied.reply)
        self._pump()
        return True

    # --- numbers ---------------------------------------------------------------------------------

    def _out_of_order(self, seq: int) -> SequenceError:
        if 0 < seq < self.seq:
            why = "was answered long ago, and only the last answer is kept"
        else:
            why = f"does not follow {self.seq}; nothing was executed"
        return SequenceError(f"Request number {seq} {why}")

    # --- budgets, and environments that broke ----------------------------------------------------

    def _budget(self, operation: Operation) -> float | None:
        seconds = self._budgets.of(operation.verb)
        asked = operation.timeout_s if isinstance(operation, StepOp) else None
        if asked is None:
            return seconds
        return asked if seconds is None else min(asked, seconds)

    def _over_budget(self, verb: str, seconds: float) -> None:
        self._timer = None
        self._break(
            BudgetExceededError(
                f"The {verb} was stopped after its budget of {seconds:g} s. reset() starts over on a new "
                f"environment; to allow more time, raise the {verb} budget of the server, or the timeout_s of "
                "the request",
                budget=verb,
                seconds=seconds,
            )
        )

    def _break(self, fault: RequestError) -> None:
        """Give up on the environment while it runs: it may be anywhere, so nothing more is asked of it."""
        self._clear_timer()
        request, self._current = self._current, None
        self._busy = False
        self._fault = fault
        self.phase = Phase.BROKEN
        self._runner.stop()
        if request is not None:
            request.answer(Reply.failed(fault, self.format))
        self._pump()

    def _replace_environment(self, operation: Operation | CopyOperation) -> None:
        assert self._fault is not None
        if isinstance(operation, ResetOp):
            operation.notice = f"This is a new environment: the one before is gone ({self._fault.message})"
        if self._fault.code == "ENVIRONMENT_DIED":
            self._leave(self._runner)
        self._runner = self._make_runner(self.id)
        self.phase = Phase.CREATING
        self._start_runner()

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- beginning and end -----------------------------------------------------------------------

    def _start_runner(self) -> None:
        self._busy = True
        runner = self._runner
        if self._budgets.create is not None:
            self._timer = asyncio.get_running_loop().call_later(self._budgets.create, self._creation_over_budget)
        runner.start(lambda error: self._started(runner, error))

    def _started(self, runner: Runner, error: RequestError | None) -> None:
        if self.phase is not Phase.CREATING or runner is not self._runner:
            self._leave(runner)
            return
        self._clear_timer()
        self._busy = False
        if error is not None:
            self.end(error)
            return
        self._fault = None
        self.phase = Phase.READY
        runner.use(self.format)
        self._allow_steps_now()
        self._pump()

    def _creation_over_budget(self) -> None:
        seconds = self._budgets.create
        self._timer = None
        self.end(
            BudgetExceededError(
                f"The environment was not constructed within the create budget of {seconds:g} s; "
                "raise the create budget of the server if it needs longer",
                budget="create",
                seconds=seconds,
            )
        )

    def _leave(self, runner: Runner) -> None:
        """Close an environment; with the last one of an ended session, the session is gone."""
        self._leaving += 1
        runner.close(lambda: self._left(runner))

    def _left(self, runner: Runner) -> None:
        self._leaving -= 1
        if self.phase is Phase.CLOSED and runner is self._runner:
            self._busy = False
            self._on_gone(self)
