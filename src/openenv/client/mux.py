"""One version 2 connection and the sessions on it.

Every request is kept until its answer is here. When the socket is lost, the connection is made again, the
sessions are resumed, and what was not answered is sent once more under its old sequence numbers, so the server
executes it exactly once. What can not be resumed is `SessionLost`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from openenv._version import __version__
from openenv.client.link import LinkOptions, proxy_of
from openenv.errors import (
    BudgetExceededError,
    ConnectionFailedError,
    MessageTooLargeError,
    RequestError,
    SessionLost,
)
from openenv.protocol import v2
from openenv.protocol.formats import JSON, Format, Incoming

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
"""Seconds between attempts to reconnect: doubled each time, with full jitter."""

HELLO_ID = 0


class OldServerError(ConnectionFailedError):
    """The server speaks version 1 only.

    Attributes:
        socket: The open connection, which has a version 1 session already.
        early: Messages that have come on it.
        ended: Close code and reason, if it is closed again.
    """

    def __init__(self, message: str, socket: Any, early: list[bytes], ended: tuple[int | None, str] | None) -> None:
        super().__init__(message)
        self.socket, self.early, self.ended = socket, early, ended


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


@dataclass(eq=False)
class Call:
    """A request under way.

    Attributes:
        raw: The frame.
        sessions: Whose it is; none for requests about the connection.
        answered: Called with each answer frame; returns whether it was the last.
        failed: Called instead, if there will be no answer.
    """

    raw: bytes
    sessions: tuple[RemoteSession, ...]
    answered: Callable[[Incoming], bool]
    failed: Callable[[Exception], None]

    def lose(self, session: RemoteSession, error: RequestError) -> bool:
        """Fail what it asks of a session that is gone; return whether there is nothing else to it."""
        self.failed(error)
        return True


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
        self.late_replies = 0
        self.reconnects = 0
        self.limits: v2.Limits | None = None
        self.socket: Any = None
        self._calls: dict[int, Call] = {}
        self._next_id = HELLO_ID + 1
        self._sessions: dict[str, RemoteSession] = {}
        self._reconnecting: asyncio.Task[None] | None = None
        self._resuming = False
        self._heartbeat: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._closed = False
        self._limit = int(options.max_message_size_mb * 1024 * 1024)

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
            raise BudgetExceededError(
                f"{self.url} did not answer within the connect budget of {budget:g} s; "
                "raise connect_timeout_s if it is slow",
                budget="connect",
                seconds=budget,
            ) from error

    async def open_sessions(self, count: int) -> list[RemoteSession]:
        """Open sessions.

        Raises:
            SessionCapacityError: There is not enough room.
        """
        answer = await self.ask("open", {"count": count}, budget="create")
        opened = [RemoteSession(s["session"], s["token"]) for s in answer.data["sessions"]]
        self._sessions.update({session.id: session for session in opened})
        return opened

    async def close_sessions(self, sessions: list[RemoteSession]) -> None:
        """End sessions; those that are gone already are passed over."""
        ours = [s for s in sessions if self._sessions.pop(s.id, None) is not None]
        for session in ours:
            self._forget(session, "The client was closed, and its session with it")
        if self.socket is not None:
            closing = (self.ask("close", {"session": s.id}, budget="close") for s in ours)
            await asyncio.gather(*closing, return_exceptions=True)

    async def request(self, session: RemoteSession, verb: str, data: bytes | None = None) -> Incoming:
        """Send a request of a session and return the answer, which may be an error.

        Args:
            session: Whose request it is.
            verb: `reset`, `step` or `state`.
            data: Its data, in this connection's format.

        Raises:
            SessionLost: The session is gone and can not be resumed.
            BudgetExceededError: No answer within the message budget; the session goes on.
        """
        session.refuse_if_lost()
        number = self._number()
        if verb == "state":
            raw = self.format.request(number, verb, session.id)
        else:
            raw = self.format.request(number, verb, session.id, session.seq + 1, data)
        self._check_size(raw, verb)
        if verb != "state":
            session.seq += 1
        return await self._wait(number, raw, (session,), verb)

    async def cancel(self, session: RemoteSession) -> bool:
        """Stop what the session has under way on the server; its caller gets RequestCancelledError.

        Returns:
            Whether anything was under way.
        """
        targets = [number for number, call in self._calls.items() if session in call.sessions]
        answers = [await self.ask("cancel", {"target": target}, budget="cancel") for target in targets]
        return any(answer.data.get("found") for answer in answers)

    async def ask(self, kind: str, fields: dict[str, Any], *, budget: str) -> Incoming:
        """Send a request about the connection and return its answer.

        Raises:
            RequestError: The server refused it.
        """
        number = self._number()
        raw = self.format.encode({"id": number, "type": kind, **fields})
        answer = await self._wait(number, raw, (), budget)
        if answer.kind == "error":
            raise RequestError.from_wire(answer.data.get("data"))
        return answer

    def send(self, call: Call, number: int) -> None:
        """Send a call now, or as soon as the connection is back."""
        self._calls[number] = call
        if self.socket is not None and not (call.sessions and self._resuming):
            self.socket.send(call.raw, binary=self.format.binary)

    def number(self) -> int:
        """Return a new request id."""
        return self._number()

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
        """End all sessions and the connection."""
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
        self._fail_all(SessionLost("The client was closed"))

    # --- requests under way ----------------------------------------------------------------------

    def _number(self) -> int:
        self._next_id += 1
        return self._next_id

    def _check_size(self, raw: bytes, verb: str) -> None:
        if len(raw) > self._limit:
            raise MessageTooLargeError(
                f"The {verb} request has {len(raw):,} bytes and the limit is {self._limit:,}; "
                "send less, or raise max_message_size_mb on both sides"
            )

    async def _wait(self, number: int, raw: bytes, sessions: tuple[RemoteSession, ...], verb: str) -> Incoming:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Incoming] = loop.create_future()

        def answered(answer: Incoming) -> bool:
            for session in sessions:
                session.begun = session.begun or answer.kind != "error"
            if future.done():
                self.late_replies += 1
            else:
                future.set_result(answer)
            return True

        def failed(error: Exception) -> None:
            if not future.done():
                future.set_exception(error)

        seconds = self.options.message_timeout_s
        timer = loop.call_later(seconds, failed, late(verb, seconds))
        self.send(Call(raw, sessions, answered, failed), number)
        try:
            return await future
        finally:
            timer.cancel()

    def _received(self, raw: bytes) -> None:
        self._heard = asyncio.get_running_loop().time()
        answer = self.format.read(raw)
        if answer.id is None:
            self._notice(answer)
            return
        call = self._calls.get(answer.id)
        if call is None or answer.kind == "progress":
            return
        if call.answered(answer):
            self._calls.pop(answer.id, None)

    def _notice(self, answer: Incoming) -> None:
        if answer.kind == "ended":
            error = RequestError.from_wire(answer.data.get("data"))
            session = self._sessions.pop(str(answer.data.get("session")), None)
            if session is not None:
                # What never began is told as what it is, such as a constructor that failed.
                self._forget(session, error.message if session.begun else error)

    # --- the socket ------------------------------------------------------------------------------

    async def _open_socket(self) -> None:
        from openenv.client.socket import Socket, SocketError

        options = self.options
        early: list[bytes] = []
        ends: list[tuple[int | None, str]] = []
        try:
            socket = await Socket.open(
                self.url,
                received=early.append,
                lost=lambda code, reason: ends.append((code, reason)),
                headers={**options.headers, "Sec-WebSocket-Protocol": self.format.subprotocol},
                max_size=self._limit,
                budget_s=options.connect_timeout_s,
                ping_interval_s=options.ping_interval_s,
                ping_timeout_s=options.ping_timeout_s,
                proxy=proxy_of(self.url),
            )
        except TimeoutError:  # an OSError too, but told apart by `connect`
            raise
        except (OSError, SocketError) as error:
            raise ConnectionFailedError(
                f"Failed to connect to {self.url}: {error}. Is the server running there?"
            ) from error
        if socket.response_header("sec-websocket-protocol") != self.format.subprotocol:
            ended = ends[0] if ends else None
            raise OldServerError(f"{self.url} speaks protocol version 1 only", socket, early, ended)
        hello: asyncio.Future[Incoming] = asyncio.get_running_loop().create_future()
        self._calls[HELLO_ID] = Call(b"", (), lambda answer: _set(hello, answer), lambda error: _fail(hello, error))
        socket.rebind(self._received, self._lost)
        if ends:
            self._lost(*ends[0])
        try:
            request = {
                "id": HELLO_ID,
                "type": "hello",
                "version": v2.VERSION,
                "client": f"openenv/{__version__}",
                "max_message_size": self._limit,
            }
            socket.send(self.format.encode(request), binary=self.format.binary)
            answer = await hello
        except BaseException:
            self._calls.pop(HELLO_ID, None)
            await socket.close()
            raise
        if answer.kind == "error":
            await socket.close()
            raise RequestError.from_wire(answer.data.get("data"))
        self.limits = v2.Welcome.model_validate(answer.data).limits
        self._limit = min(self._limit, self.limits.max_message_size)
        self.socket = socket
        self._beat()

    def _beat(self) -> None:
        """Send a heartbeat now and then; a server that is silent for three of them counts as lost."""
        if self.socket is None or self.limits is None:
            return
        loop = asyncio.get_running_loop()
        pause = self.limits.heartbeat_s
        silent = loop.time() - self._heard
        if silent > 3 * pause:
            self.socket.abort()
            return
        if silent >= pause * 0.9:
            ping = {"id": self._number(), "type": "ping"}
            self.socket.send(self.format.encode(ping), binary=self.format.binary)
        self._heartbeat = loop.call_later(pause, self._beat)

    def _lost(self, code: int | None, reason: str) -> None:
        """The socket is gone: start to get it back, if there is anything to get it back for."""
        hello = self._calls.pop(HELLO_ID, None)
        if hello is not None:
            hello.failed(ConnectionFailedError(f"{self.url} closed the connection during the handshake"))
        if self.socket is None or self._closed:
            return
        self.socket = None
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        for number, call in list(self._calls.items()):
            if not call.sessions:  # about the connection: opening sessions twice would leak the first ones
                del self._calls[number]
                call.failed(SessionLost(_lost_text(self.url, code, reason)))
        if self._sessions:
            self._resuming = True
            self._reconnecting = asyncio.get_running_loop().create_task(self._reconnect(code, reason))

    async def _reconnect(self, code: int | None, reason: str) -> None:
        loop = asyncio.get_running_loop()
        assert self.limits is not None
        deadline = loop.time() + self.limits.lease_s
        pause = FIRST_PAUSE_S
        while loop.time() < deadline:
            try:
                async with asyncio.timeout(self.options.connect_timeout_s):
                    await self._open_socket()
                break
            except (ConnectionFailedError, RequestError, TimeoutError):
                await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - jitter, not a secret
                pause = min(pause * 2, LONGEST_PAUSE_S)
        else:
            for session in list(self._sessions.values()):
                self._forget(session, _lost_text(self.url, code, reason))
            self._sessions.clear()
            self._resuming = False
            return
        self.reconnects += 1
        await self._resume_all()

    async def _resume_all(self) -> None:
        # Requests made meanwhile wait: the server would refuse them until it has given the session back.
        socket = self.socket
        await asyncio.gather(*(self._resume(session, socket) for session in list(self._sessions.values())))
        if self.socket is not socket:  # it is lost again, and all of this is done again
            return
        self._resuming = False
        for call in list(self._calls.values()):
            if call.sessions:
                socket.send(call.raw, binary=self.format.binary)

    async def _resume(self, session: RemoteSession, socket: Any) -> None:
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
        for number, call in list(self._calls.items()):
            if session in call.sessions and call.lose(session, RequestError.from_wire(session.lost.to_wire())):
                del self._calls[number]

    def _fail_all(self, error: Exception) -> None:
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.failed(error)


def _set(future: asyncio.Future[Incoming], answer: Incoming) -> bool:
    if not future.done():
        future.set_result(answer)
    return True


def _fail(future: asyncio.Future[Incoming], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def late(verb: str, seconds: float) -> BudgetExceededError:
    """Return the error for a request that is not answered within the message budget."""
    return BudgetExceededError(
        f"The {verb} was not answered within the message budget of {seconds:g} s. It may still be executed; "
        "its answer will be dropped. Raise message_timeout_s if this is normal",
        budget=verb,
        seconds=seconds,
    )


def _lost_text(url: str, code: int | None, reason: str) -> str:
    why = f"close code {code} {reason}".rstrip() if code is not None else "no close frame"
    return f"The connection to {url} was lost ({why}), and with it the session and its episode"
