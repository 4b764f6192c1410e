"""One version 2 connection and the sessions on it.

Every request is kept until its answer is here. When the socket is lost, the connection is made again, the
sessions are resumed, and what was not answered is sent once more under its old sequence numbers, so the server
executes it exactly once. What can not be resumed is `SessionLost`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from openenv.client.calls import Call, Calls, ListeningCall, RemoteSession, SingleCall
from openenv.client.handshake import OldServerError, shake_hands
from openenv.client.link import LinkOptions, slow_to_connect
from openenv.client.progress import Listening, OnProgress
from openenv.errors import (
    ConnectionFailedError,
    InvalidReplyError,
    MessageTooLargeError,
    RequestError,
    SessionLost,
)
from openenv.protocol import v2
from openenv.protocol.formats import JSON, Format, Incoming

if TYPE_CHECKING:
    from openenv.client.socket import Socket

__all__ = ["Multiplexer", "OldServerError", "RemoteSession"]

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
"""Seconds between attempts to reconnect: doubled each time, with full jitter."""

UNNUMBERED = frozenset({"state", "snapshots", "drop", "mcp"})
"""Requests of a session that change nothing of its episode, so it does not matter how often they are executed."""


class Multiplexer:
    """A connection that outlives its socket.

    Args:
        url: `ws://` or `wss://` address.
        options: Budgets and limits.
        format: The encoding of its frames.
    """

    def __init__(self, url: str, options: LinkOptions, format: Format = JSON) -> None:
        self.url = url
        self.options = options
        self.format = format
        self.reconnects = 0
        self.users = 0  # links that share it
        self.limits: v2.Limits | None = None
        self.socket: Socket | None = None
        self.calls = Calls(options.message_timeout_s)
        self._last_id = 0
        self._on_progress = options.on_progress
        self._sessions: dict[str, RemoteSession] = {}
        self._reconnecting: asyncio.Task[None] | None = None
        self._resuming = False
        self._held: list[int] = []  # calls about the connection that wait until it is back
        self._closing: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._heartbeat: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._closed = False
        self._limit = int(options.max_message_size_mb * 1024 * 1024)
        self._loop: asyncio.AbstractEventLoop

    @property
    def late_replies(self) -> int:
        """Answers that came after their caller had given up."""
        return self.calls.late_replies

    # --- what can be asked -----------------------------------------------------------------------

    async def connect(self) -> None:
        """Connect and agree on the version.

        Raises:
            OldServerError: The server speaks version 1 only.
            ConnectionFailedError: Nobody answers at the address.
            BudgetExceededError: Nobody answered within the connect budget.
        """
        budget = self.options.connect_timeout_s
        try:
            async with asyncio.timeout(budget):
                await self._open_socket()
        except TimeoutError as error:
            raise slow_to_connect(self.url, budget) from error

    async def open_sessions(self, count: int) -> list[RemoteSession]:
        """Open sessions.

        Raises:
            SessionCapacityError: There is not enough room.
            InvalidReplyError: The server says something else.
        """
        answer = await self.ask("open", {"count": count}, budget="create")
        try:
            told = v2.Opened.model_validate(answer.data).sessions
        except ValidationError as error:
            raise InvalidReplyError(f"The server does not say which sessions it has opened: {error}") from error
        if len(told) != count:
            raise InvalidReplyError(f"The server has opened {len(told)} sessions, and {count} were asked for")
        opened = [RemoteSession(one.session, one.token) for one in told]
        self._sessions.update({session.id: session for session in opened})
        return opened

    def held(self, session_id: str) -> RemoteSession:
        """Return a session of this connection; one that is lost already says so."""
        lost = SessionLost("The session has ended; reset() starts a new session")
        return self._sessions.get(session_id) or RemoteSession(session_id, "", begun=True, lost=lost)

    async def close_sessions(self, sessions: list[RemoteSession]) -> None:
        """End sessions; those that are gone already are passed over."""
        ours = [s for s in sessions if self._sessions.pop(s.id, None) is not None]
        for session in ours:
            self._forget(session, "The client was closed, and its session with it")
        await self._ended_there(ours)

    async def _ended_there(self, sessions: list[RemoteSession]) -> None:
        if self.socket is not None:
            closing = (self.ask("close", {"session": s.id}, budget="close") for s in sessions)
            await asyncio.gather(*closing, return_exceptions=True)

    def request(
        self,
        session: RemoteSession,
        verb: str,
        data: bytes | None = None,
        timeout_s: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> asyncio.Future[Incoming]:
        """Send a request of a session now.

        Args:
            session: Whose request it is.
            verb: `reset`, `step`, `state`, or one of those that keep and fork episodes.
            data: Its data, in this connection's format.
            timeout_s: Seconds that the server gives a step, if that is less than its own budget.
            on_progress: Told how far it is, instead of that of the options.

        Returns:
            The answer, which may be an error. Waiting for it raises SessionLost if the session is lost meanwhile
            and can not be resumed, and BudgetExceededError if there is no answer within the message budget; the
            session goes on then.

        Raises:
            SessionLost: The session is gone.
            MessageTooLargeError: The request is over the limit; nothing was sent.
        """
        if session.lost is not None:
            session.refuse_if_lost()
        self._last_id = number = self._last_id + 1
        if verb in UNNUMBERED:
            raw = self.format.request(number, verb, session.id, None, data)
        else:
            raw = self.format.request(number, verb, session.id, session.seq + 1, data, timeout_s)
        if len(raw) > self._limit:
            raise MessageTooLargeError(
                f"The {verb} request has {len(raw):,} bytes and the limit is {self._limit:,}; "
                "send less, or raise max_message_size_mb on both sides"
            )
        if verb not in UNNUMBERED:
            session.seq += 1
        future: asyncio.Future[Incoming] = self._loop.create_future()
        listener = on_progress or self._on_progress
        if listener is None:
            call = SingleCall(self.calls, raw, (session,), verb, future)
        else:
            call = ListeningCall(self.calls, raw, (session,), verb, future)
            call.listening = Listening(listener)
        self.calls.add(number, call, self._loop)
        if self.socket is not None and not self._resuming:  # else it is sent when the session is back
            self.socket.send(raw, binary=self.format.binary)
        return future

    async def cancel(self, session: RemoteSession) -> bool:
        """Stop what the session has under way on the server; its caller gets RequestCancelledError.

        Returns:
            Whether anything was under way.
        """
        targets = self.calls.numbers_of(session)
        answers = [await self.ask("cancel", {"target": target}, budget="cancel") for target in targets]
        return any(answer.data.get("found") for answer in answers)

    async def ask(self, kind: str, fields: dict[str, Any], *, budget: str) -> Incoming:
        """Send a request about the connection and return its answer.

        Raises:
            RequestError: The server refused it.
            SessionLost: There is no connection, or it was lost before the answer came.
        """
        if self.socket is None and (kind == "resume" or not self._resuming):
            raise SessionLost(f"There is no connection to {self.url}")
        number = self.number()
        raw = self.format.encode({"id": number, "type": kind, **fields})
        future: asyncio.Future[Incoming] = self._loop.create_future()
        self.send(SingleCall(self.calls, raw, (), budget, future), number, at_once=kind == "resume")
        answer = await future
        if answer.kind == "error":
            raise RequestError.from_wire(answer.data.get("data"))
        return answer

    def send(self, call: Call, number: int, *, at_once: bool = False) -> None:
        """Send a call now, or as soon as the connection is back and has its sessions again.

        Args:
            call: The request.
            number: Its id.
            at_once: Do not wait for the sessions.
        """
        self.calls.add(number, call, self._loop)
        if self.socket is not None and (at_once or not self._resuming):
            self.socket.send(call.raw, binary=self.format.binary)
        elif not call.sessions:  # the others are sent once more anyway
            self._held.append(number)

    def number(self) -> int:
        """Return a new request id."""
        self._last_id += 1
        return self._last_id

    @property
    def limit(self) -> int:
        """Bytes a frame may have."""
        return self._limit

    async def restored(self) -> None:
        """Wait until a lost connection is back; make it anew if it has been given up.

        Raises:
            ConnectionFailedError: Nobody answers at the address.
            BudgetExceededError: Nobody answered within the connect budget.
        """
        if self._reconnecting is not None:
            await asyncio.wait((self._reconnecting,))
        if self.socket is None:
            await self.connect()

    async def close(self) -> None:
        """End all sessions and the connection. Whoever asks for it again waits for the same end."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await self.close_sessions(list(self._sessions.values()))
        self._closed = True
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            await asyncio.gather(self._reconnecting, return_exceptions=True)
        socket, self.socket = self.socket, None
        if socket is not None:
            await socket.close()
        self.calls.fail(SessionLost("The client was closed"), with_sessions=True)
        self.calls.close()

    def let_go(self, sessions: list[RemoteSession]) -> None:
        """End sessions without waiting for it."""
        self._soon(self.close_sessions(sessions))

    def _soon(self, ending: Coroutine[Any, Any, None]) -> None:
        closing = self._loop.create_task(ending)
        self._leaving.add(closing)
        closing.add_done_callback(self._leaving.discard)

    # --- requests under way ----------------------------------------------------------------------

    def _received(self, raw: bytes) -> None:
        self._heard = self._loop.time()
        try:
            answer = self.format.read(raw)
        except InvalidReplyError as error:
            self._lose_what_waits(error)
            return
        if answer.id is None:
            self._notice(answer)
        elif answer.kind == "progress":
            self.calls.told(answer.id, answer, self._loop)
        elif answer.kind != "pong":  # which nobody waits for
            if answer.kind == "forked":
                self._forked(answer.id, answer)
            self.calls.answered(answer.id, answer)

    def _lose_what_waits(self, error: InvalidReplyError) -> None:
        """Give up what an answer that cannot be read may belong to; sent once more, it would be the same again."""
        sessions = [session for session in self._sessions.values() if self.calls.numbers_of(session)]
        for session in sessions:
            del self._sessions[session.id]
            self._forget(session, error)
        self.calls.fail(error, with_sessions=False)
        self._soon(self._ended_there(sessions))

    def _forked(self, number: int, answer: Incoming) -> None:
        """Hold forks as soon as they are known, so that they are resumed if the connection is lost now."""
        with suppress(ValidationError):  # which whoever waits is told
            told = v2.Forked.model_validate(answer.data).data.sessions
            forks = [RemoteSession(one.session, one.token, begun=True) for one in told]
            for fork in forks:
                self._sessions.setdefault(fork.id, fork)
            if not self.calls.waited_for(number):  # nobody will close them
                self.let_go(forks)

    def _notice(self, answer: Incoming) -> None:
        if answer.kind == "ended":
            error = RequestError.from_wire(answer.data.get("data"))
            session = self._sessions.pop(str(answer.data.get("session")), None)
            if session is not None:
                # What never began is told as what it is, such as a constructor that failed.
                self._forget(session, error.message if session.begun else error)

    # --- the socket ------------------------------------------------------------------------------

    async def _open_socket(self) -> None:
        self._loop = asyncio.get_running_loop()
        socket, limits = await shake_hands(
            self.url, self.options, self.format, self._limit, self._received, self._lost
        )
        self.limits = limits
        self._limit = min(self._limit, limits.max_message_size)
        self.socket = socket
        self._heard = self._loop.time()
        self._beat()

    def _beat(self) -> None:
        """Send a heartbeat now and then; a server that is silent for three of them counts as lost."""
        if self.socket is None or self.limits is None:
            return
        pause = self.limits.heartbeat_s
        silent = self._loop.time() - self._heard
        if silent > 3 * pause:
            self.socket.abort()
            return
        if silent >= pause * 0.9:
            ping = {"id": self.number(), "type": "ping"}
            self.socket.send(self.format.encode(ping), binary=self.format.binary)
        self._heartbeat = self._loop.call_later(pause, self._beat)

    def _lost(self, code: int | None, reason: str) -> None:
        """The socket is gone: start to get it back, if there is anything to get it back for."""
        if self.socket is None or self._closed:
            return
        self.socket = None
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        # Calls about the connection are not repeated: opening sessions twice would leak the first ones.
        error = SessionLost(_lost_text(self.url, code, reason))
        self.calls.fail(error, with_sessions=False, but=() if self._closing else self._held)
        if self._sessions:
            self._resuming = True
            self._reconnecting = self._loop.create_task(self._reconnect(code, reason))

    async def _reconnect(self, code: int | None, reason: str) -> None:
        assert self.limits is not None
        deadline = self._loop.time() + self.limits.lease_s
        pause = FIRST_PAUSE_S
        while self._loop.time() < deadline:
            try:
                async with asyncio.timeout(self.options.connect_timeout_s):
                    await self._open_socket()
                break
            except (ConnectionFailedError, RequestError, TimeoutError) as error:
                if isinstance(error, OldServerError):
                    await error.socket.close()
                await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - jitter, not a secret
                pause = min(pause * 2, LONGEST_PAUSE_S)
        else:
            for session in list(self._sessions.values()):
                self._forget(session, _lost_text(self.url, code, reason))
            self._sessions.clear()
            self._resuming = False
            self._held.clear()
            self.calls.fail(SessionLost(_lost_text(self.url, code, reason)), with_sessions=False)
            return
        self.reconnects += 1
        await self._resume_all()

    async def _resume_all(self) -> None:
        # Requests made meanwhile wait: the server would refuse them until it has given the session back.
        socket = self.socket
        await asyncio.gather(*(self._resume(session, socket) for session in list(self._sessions.values())))
        if self.socket is not socket or socket is None:  # it is lost again, and all of this is done again
            return
        self._resuming = False
        held, self._held = self._held, []
        for raw in [*self.calls.frames(), *self.calls.wanted(held)]:
            socket.send(raw, binary=self.format.binary)

    async def _resume(self, session: RemoteSession, socket: Socket | None) -> None:
        try:
            await self.ask("resume", {"session": session.id, "token": session.token}, budget="resume")
        except SessionLost as error:
            if self.socket is socket:
                self._sessions.pop(session.id, None)
                self._forget(session, error.message)
        except RequestError as error:
            self._sessions.pop(session.id, None)
            self._forget(session, f"The session could not be resumed: {error.message}")

    def _forget(self, session: RemoteSession, why: str | RequestError) -> None:
        """Fail what the session has under way, and everything that will be asked of it."""
        session.lost = SessionLost(f"{why}; reset() starts a new session") if isinstance(why, str) else why
        self.calls.lose(session, session.lost)


def _lost_text(url: str, code: int | None, reason: str) -> str:
    why = f"close code {code} {reason}".rstrip() if code is not None else "no close frame"
    return f"The connection to {url} was lost ({why}), and with it the session and its episode"
