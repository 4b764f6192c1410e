"""One version 2 connection, without the WebSocket: many sessions, numbered requests, batches.

When the connection is lost its sessions are detached, not ended: they wait for whoever has their token.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic import ValidationError

from openenv._version import __version__
from openenv.errors import (
    BudgetExceededError,
    InvalidRequestError,
    RequestError,
    SessionCapacityError,
    SessionLost,
    SessionNotFoundError,
    UnsupportedVersionError,
)
from openenv.protocol import v2
from openenv.protocol.codec import invalid
from openenv.protocol.codec_v2 import ServerCodecV2, batch_of, readable
from openenv.protocol.envelopes import Step, StepMany
from openenv.protocol.formats import JSON, Format
from openenv.protocol.messages import WSMCPMessage
from openenv.server import budgets
from openenv.server.batch import Batch, not_held, operation_of, reset_op
from openenv.server.connection import too_large
from openenv.server.copy_frames import copy_frames
from openenv.server.dispatch import dispatch
from openenv.server.host import Operation, Reply, StepOp
from openenv.server.manager import SessionManager
from openenv.server.requests import CopyOperation, Request
from openenv.server.sessions import Session

logger = logging.getLogger("openenv.server")

CAPABILITIES = ["batch", "cancel", "resume", "snapshot"]
HEARTBEAT_S = 15.0
"""Seconds of silence after which a client sends a heartbeat; proxies cut idle connections at 30 and more."""

PROTOCOL_ERROR = 1002


class MultiplexConnection:
    """The state of one connection.

    Args:
        manager: Opens and finds sessions.
        codec: Understands the frames of this server's environment.
        format_: The encoding of frames.
        send: Sends a frame; called on the event loop, in order, and must not block.
        close: Closes the transport after what was sent, with a WebSocket close code.
        max_size: Bytes an answer may have.

    Attributes:
        manager: As given.
        format: As given.
        send: As given; used as long as it is not lost.
        max_size: As given, or what the client says it takes if that is less.
        is_lost: Whether the transport is gone.
    """

    def __init__(
        self,
        manager: SessionManager,
        codec: ServerCodecV2,
        format_: Format,
        send: Callable[[bytes], None],
        close: Callable[[int], None],
        *,
        max_size: int,
    ) -> None:
        self.manager = manager
        self._codec = codec
        self.format = format_
        self._is_json = format_ is JSON
        self.send = send
        self._close = close
        self.max_size = max_size
        self._sessions: dict[str, Session] = {}
        self._requests: dict[int, tuple[Session, Request]] = {}
        self._waiting: list[Callable[[], None]] = []
        self._greeting: asyncio.TimerHandle | None = None
        self._greeted = False
        self.is_lost = False
        self._do: dict[str, Callable[[Any], None]] = {
            "step": self._step,
            "step_many": self._step_many,
            "reset": self._reset,
            "reset_many": self._reset_many,
            "state": self._state,
            "open": self._open,
            "resume": self._resume,
            "close": self._close_session,
            "cancel": self._cancel,
            "ping": self._ping,
            "hello": self._hello,
            "mcp": self._mcp,
            **copy_frames(self),
        }

    # --- called by the transport -----------------------------------------------------------------

    def opened(self) -> None:
        """Wait for the client's hello, for a bounded time."""
        limit = budgets.HANDSHAKE_S
        self._greeting = asyncio.get_running_loop().call_later(limit, self._not_greeted, limit)

    def received(self, raw: bytes) -> None:
        """Answer a frame."""
        plain = self._codec.plain_steps(raw) if self._is_json and self._greeted else None
        if plain is not None:
            self._plainly(*plain)
            return
        try:
            frame = self._codec.decode(raw, self.format)
        except (ValidationError, RequestError) as error:
            self._refuse(raw, error)
            return
        if not self._greeted and frame.type != "hello":
            self._fail(frame.id, InvalidRequestError('The first frame is "hello", with the version'))
            return
        self._do[frame.type](frame)

    def refused(self, error: RequestError) -> None:
        """Answer a frame that the transport could not hand over."""
        self._fail(None, error)

    def lost(self) -> None:
        """The transport is gone; the sessions wait for their client to come back."""
        self.is_lost = True
        self._stop_waiting_for_hello()
        for give_up in self._waiting:
            give_up()
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.holder = None
            self.manager.detach(session)

    # --- the connection --------------------------------------------------------------------------

    def _hello(self, frame: v2.Hello) -> None:
        if frame.version != v2.VERSION:
            self._fail(
                frame.id,
                UnsupportedVersionError(
                    f"This server speaks versions 1 and {v2.VERSION} of the protocol, not {frame.version}"
                ),
            )
            self._close(PROTOCOL_ERROR)
            return
        self._greeted = True
        self._stop_waiting_for_hello()
        if frame.max_message_size is not None:
            self.max_size = min(self.max_size, frame.max_message_size)
        limits = v2.Limits(
            max_message_size=self.max_size, heartbeat_s=HEARTBEAT_S, lease_s=self.manager.budgets.lease
        )
        self._say(
            v2.Welcome(
                id=frame.id,
                version=v2.VERSION,
                server=f"openenv/{__version__}",
                capabilities=CAPABILITIES,
                limits=limits,
            )
        )

    def _not_greeted(self, seconds: float) -> None:
        why = f'The first frame, "hello", did not come within {seconds:g} s'
        self._fail(None, BudgetExceededError(why, budget="connect", seconds=seconds))
        self._close(PROTOCOL_ERROR)

    def _stop_waiting_for_hello(self) -> None:
        if self._greeting is not None:
            self._greeting.cancel()
            self._greeting = None

    def _ping(self, frame: v2.Ping) -> None:
        self._say(v2.Pong(id=frame.id))

    def _open(self, frame: v2.Open) -> None:
        try:  # before the first of them is made in vain
            self.manager.refuse_more_than_fit(frame.count, waiting=self.manager.budgets.queue > 0)
        except SessionCapacityError as error:
            self._fail(frame.id, error)
            return
        opened: list[Session] = []

        def got(session: Session) -> None:
            if self.is_lost:
                session.end()
                return
            self._hold(session)
            opened.append(session)
            if len(opened) == frame.count:
                sessions = [v2.OpenedSession(session=s.id, token=s.token) for s in opened]
                self._say(v2.Opened(id=frame.id, sessions=sessions, lease_s=self.manager.budgets.lease))

        def full(error: RequestError) -> None:
            for give_up in giving_up:
                give_up()
            for session in opened:
                self._sessions.pop(session.id, None)  # nobody has heard of it, so nobody is told that it ends
                session.end()
            opened.clear()
            if not refused:
                refused.append(error)
                self._fail(frame.id, error)

        refused: list[RequestError] = []
        giving_up: list[Callable[[], None]] = []
        for _ in range(frame.count):
            if refused:
                return
            giving_up.append(self.manager.open_when_free(got, full))
        if len(opened) < frame.count:
            self._waiting += giving_up

    def _resume(self, frame: v2.Resume) -> None:
        unknown = SessionNotFoundError(
            f"No session {frame.session!r} with this token: it was closed, has expired, or is of another server"
        )
        try:
            session = self.manager.get(frame.session)
        except SessionNotFoundError:
            self._fail(frame.id, unknown, frame.session)
            return
        except RequestError as ended:
            self._fail(frame.id, ended, frame.session)
            return
        if not hmac.compare_digest(session.token.encode(), frame.token.encode()):
            self._fail(frame.id, unknown, frame.session)
            return
        if session.format is not self.format and session.seq > 0:
            error = f"The session speaks {session.format.subprotocol}; resume it with the same subprotocol"
            self._fail(frame.id, InvalidRequestError(error), frame.session)
            return
        if session.holder is not None and session.holder is not self:
            session.holder.taken(session)
        self._hold(session)
        self._say(
            v2.Resumed(
                id=frame.id,
                session=session.id,
                seq=session.seq,
                phase=session.phase.value,
                episode_id=session.episode.id if session.episode else None,
            )
        )

    def taken(self, session: Session) -> None:
        """Another connection has shown the token: this one, probably half dead, holds the session no longer."""
        self._sessions.pop(session.id, None)
        self._notify_end(session.id, SessionLost("The session was resumed by another connection"))

    def _hold(self, session: Session) -> None:
        self._sessions[session.id] = session
        session.holder = self
        session.use(self.format)
        self.manager.attach(session, partial(self._session_ended, session.id))

    def _session_ended(self, session_id: str, reason: RequestError) -> None:
        if self._sessions.pop(session_id, None) is not None:
            self._notify_end(session_id, reason)

    def _notify_end(self, session_id: str, reason: RequestError) -> None:
        if not self.is_lost:
            data = reason.to_wire()
            self.send(self.format.encode({"type": "ended", "session": session_id, "data": data}))

    # --- sessions --------------------------------------------------------------------------------

    def _plainly(self, frame: Step | StepMany, given: Any) -> None:
        """Take steps with nothing unusual about them: at once, where nothing stands in the way."""
        if isinstance(frame, StepMany):
            Batch(self, frame.id, len(given)).step_all(frame.items, given, self._sessions)
        else:
            self._step_soon(frame, given)

    def _step_soon(self, frame: Step | v2.Step[Any], action: Any) -> None:
        session = self._sessions.get(frame.session)
        reply = session.step_now(frame.seq, action) if session is not None else None
        if reply is None:
            self._numbered(frame.id, frame, StepOp(action))
        else:
            self._answer(frame.id, frame.session, frame.seq, reply)

    def _step(self, frame: v2.Step[Any]) -> None:
        if frame.timeout_s is None:
            self._step_soon(frame, frame.data)
        else:
            self._numbered(frame.id, frame, StepOp(frame.data, frame.timeout_s))

    def _reset(self, frame: v2.Reset) -> None:
        self._numbered(frame.id, frame, reset_op(frame))

    def numbered_copy(
        self, frame: v2.Snapshot | v2.Restore | v2.Fork, operation: CopyOperation, tell: Callable[..., None]
    ) -> None:
        """Have a session kept, put back or forked, and tell of it.

        Args:
            frame: What was asked.
            operation: What is to be done.
            tell: Called with the id, session and number of the request, and the answer.
        """
        session = self.session(frame)
        if session is None:
            return
        request = session.numbered(frame.seq, operation, partial(tell, frame.id, frame.session, frame.seq))
        if request is not None and not request.answered:
            self._requests[frame.id] = (session, request)

    def session(self, frame: Any) -> Session | None:
        """Return the session that a frame names; None if it is not held here, as the sender is told."""
        session = self._sessions.get(frame.session)
        if session is None:
            self._fail(frame.id, not_held(self.manager, frame.session), frame.session)
        return session

    def _numbered(self, number: int, item: v2.ResetItem | v2.StepItem[Any] | Step, operation: Operation) -> None:
        session = self._sessions.get(item.session)
        if session is None:
            self._fail(number, not_held(self.manager, item.session), item.session)
            return
        answer = partial(self._answer, number, item.session, item.seq)
        request = session.numbered(item.seq, operation, answer)
        if request is not None and not request.answered:
            self._requests[number] = (session, request)
            request.progress = partial(self.progressed, session, number)

    def _answer(self, number: int, session: str, seq: int, reply: Reply) -> None:
        self._requests.pop(number, None)
        if self.is_lost:
            return
        raw = self.format.answer(number, reply.kind, session, seq, reply.data)
        if len(raw) > self.max_size:
            reply = Reply.failed(too_large(len(raw), self.max_size, "answer"), self.format)
            raw = self.format.answer(number, reply.kind, session, seq, reply.data)
        self.send(raw)

    def progressed(self, session: Session, number: int, report: dict[str, Any]) -> None:
        """Tell the client how far a reset or step of one of its sessions is."""
        if self.is_lost or session.holder is not self:
            return
        try:
            raw = self.format.answer(number, "progress", session.id, 0, self.format.pack(report, "progress"))
        except RequestError as error:  # not worth failing the request for
            logger.warning("session %s: a report of progress was left out: %s", session.id, error.message)
            return
        if len(raw) <= self.max_size:
            self.send(raw)

    def _state(self, frame: v2.GetState) -> None:
        session = self._sessions.get(frame.session)
        if session is None:
            self._fail(frame.id, not_held(self.manager, frame.session), frame.session)
            return
        request = session.state(partial(self._answer, frame.id, frame.session, 0))
        if not request.answered:
            self._requests[frame.id] = (session, request)

    def _step_many(self, frame: v2.StepMany[Any]) -> None:
        batch = Batch(self, frame.id, len(frame.items))
        if all(item.timeout_s is None for item in frame.items):
            batch.step_all(frame.items, [item.data for item in frame.items], self._sessions)
            return
        for item in frame.items:
            batch.run(self._sessions.get(item.session), item, StepOp(item.data, item.timeout_s))
        batch.begun()

    def _reset_many(self, frame: v2.ResetMany) -> None:
        batch = Batch(self, frame.id, len(frame.items))
        for item in frame.items:
            batch.run(self._sessions.get(item.session), item, reset_op(item))
        batch.begun()

    def _close_session(self, frame: v2.Close) -> None:
        session = self._sessions.pop(frame.session, None)
        if session is not None:
            session.end()
        self._say(v2.Closed(id=frame.id, session=frame.session))

    def _cancel(self, frame: v2.Cancel) -> None:
        session, request = self._requests.get(frame.target, (None, None))
        found = session is not None and request is not None and session.cancel(request)
        self._say(v2.Cancelled(id=frame.id, target=frame.target, found=found))

    def _mcp(self, frame: v2.Mcp) -> None:
        session = self.session(frame)
        if session is not None:
            dispatch(session, WSMCPMessage(data=frame.data), partial(self._answer, frame.id, frame.session, 0))

    # --- answers ---------------------------------------------------------------------------------

    def _say(self, answer: Any) -> None:
        if not self.is_lost:
            self.send(self.format.encode(answer.model_dump()))

    def _fail(self, number: int | None, error: RequestError, session: str | None = None) -> None:
        if not self.is_lost:
            answer = {"id": number, "type": "error", "session": session, "data": error.to_wire()}
            self.send(self.format.encode(answer))

    def _refuse(self, raw: bytes, error: ValidationError | RequestError) -> None:
        """Answer a frame that does not validate; what can be read of it says whom to tell."""
        reason = invalid(error) if isinstance(error, ValidationError) else error
        frame = readable(raw, self.format)
        number = frame.get("id")
        number = number if isinstance(number, int) and not isinstance(number, bool) else None
        if self._greeted and (batch := batch_of(frame)) is not None:
            self._refuse_items(*batch)
            return
        session, seq = self._sessions.get(str(frame.get("session"))), frame.get("seq")
        if number is not None and session is not None and isinstance(seq, int):
            session.refuse(seq, reason, partial(self._answer, number, session.id, seq))
        else:
            self._fail(number, reason)

    def _refuse_items(self, number: int, kind: str, items: list[Any]) -> None:
        """Run the items of a batch that are right, and answer the others with what is wrong with them."""
        batch = Batch(self, number, len(items))
        for item in items:
            name = item.get("session") if isinstance(item, dict) else ""
            name = name if isinstance(name, str) else ""
            session = self._sessions.get(name)
            try:
                right = self._codec.item(kind, item, self.format)
            except (ValidationError, RequestError) as error:
                reason = invalid(error) if isinstance(error, ValidationError) else error
                seq = item.get("seq") if isinstance(item, dict) else None
                batch.refuse(session, name, seq if isinstance(seq, int) else 0, reason)
            else:
                batch.run(session, right, operation_of(right))
        batch.begun()
