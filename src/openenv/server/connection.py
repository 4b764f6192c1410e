"""One version 1 WebSocket, without the WebSocket: frames in, frames out, one session for its lifetime.

Any transport can carry it: it calls `opened`, `received` and `lost`, and gives two functions to answer by. A
frame that is not understood changes nothing, and is answered in its turn: version 1 has no request ids, so the
order of the answers is all a client has to go by.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from openenv.errors import InvalidRequestError, MessageTooLargeError, RequestError, SessionError
from openenv.protocol.codec import ServerCodec
from openenv.protocol.messages import WSCloseMessage
from openenv.server.dispatch import dispatch
from openenv.server.host import Reply
from openenv.server.manager import SessionManager
from openenv.server.sessions import STOPPED, Session

NORMAL_CLOSURE = 1000
SERVER_STOPS = 1012
MAX_EARLY = 16
"""Frames kept for a client that waits for a free session; a version 1 client waits for each answer anyway."""


class Connection:
    """The state of one connection.

    Args:
        manager: Opens the session.
        codec: Understands the frames of this server's environment.
        send: Sends a frame; called on the event loop, in order, and must not block.
        close: Closes the transport after what was sent, with a WebSocket close code.
        max_size: Bytes an answer may have.
        session_id: Attach to this session instead of opening one; it outlives the connection.
    """

    def __init__(
        self,
        manager: SessionManager,
        codec: ServerCodec,
        send: Callable[[bytes], None],
        close: Callable[[int], None],
        *,
        max_size: int,
        session_id: str | None = None,
    ) -> None:
        self._manager = manager
        self._codec = codec
        self._send = send
        self._close = close
        self._max_size = max_size
        self._session_id = session_id
        self._session: Session | None = None
        self._early: list[bytes | str] = []
        self._give_up: Callable[[], None] = _nothing
        self._lost = False
        self._asked = 0  # requests handed to the session, which answers them in order
        self._answered = 0
        self._refusals: deque[tuple[int, Reply]] = deque()  # each waits until so many are answered

    def opened(self) -> None:
        """Open the session. If there is no room the client is told so and the connection closes."""
        if self._session_id is None:
            self._give_up = self._manager.open_when_free(self._opened, self._not_opened)
            return
        try:
            self._session = self._manager.get_unattached(self._session_id)
        except RequestError as error:
            self._not_opened(error)

    def _opened(self, session: Session) -> None:
        self._session = session
        self._manager.attach(session, self._session_ended)
        early, self._early = self._early, []
        for raw in early:
            self.received(raw)

    def _not_opened(self, error: RequestError) -> None:
        self._answer(Reply.failed(error))
        self._lost = True
        self._close(NORMAL_CLOSURE)

    def received(self, raw: bytes | str) -> None:
        """Answer a text frame."""
        if self._session is None:
            if len(self._early) < MAX_EARLY:
                self._early.append(raw)
            else:
                self.refused(SessionError(f"More than {MAX_EARLY} requests while waiting for a free session"))
            return
        try:
            message = self._codec.decode(raw)
        except RequestError as error:
            self.refused(error)
            return
        if isinstance(message, WSCloseMessage):
            self.lost()
            self._close(NORMAL_CLOSURE)
        else:
            self._asked += 1
            dispatch(self._session, message, self._session_answered)

    def refused(self, error: RequestError) -> None:
        """Answer a frame that was not understood, after those before it."""
        if self._asked == self._answered:
            self._answer(Reply.failed(error))
        else:
            self._refusals.append((self._asked, Reply.failed(error)))

    def lost(self) -> None:
        """The transport is gone, or about to go; so is the session, if this connection opened it."""
        self._lost = True
        self._give_up()
        if self._session is not None and self._session_id is None:
            self._session.end()

    def _session_answered(self, reply: Reply) -> None:
        self._answered += 1
        self._answer(reply)
        while self._refusals and self._refusals[0][0] <= self._answered:
            self._answer(self._refusals.popleft()[1])

    def _answer(self, reply: Reply) -> None:
        if self._lost:
            return
        raw = reply.frame()
        if len(raw) > self._max_size:
            raw = Reply.failed(too_large(len(raw), self._max_size, "answer")).frame()
        self._send(raw)

    def _session_ended(self, reason: RequestError) -> None:
        if not self._lost:
            self._answer(Reply.failed(reason))
            self._lost = True
            self._close(SERVER_STOPS if reason is STOPPED else NORMAL_CLOSURE)


def _nothing() -> None:
    """Do nothing."""


def wrong_frame(binary: bool) -> InvalidRequestError:
    """Return the error for a text frame where `binary` ones are spoken, or the other way round."""
    wanted = "MessagePack in binary frames" if binary else "JSON in text frames"
    return InvalidRequestError(f"This connection speaks {wanted}", code="INVALID_JSON")


def too_large(size: int, limit: int, what: str) -> MessageTooLargeError:
    """Return the error for a message over the limit, both in bytes."""
    return MessageTooLargeError(
        f"The {what} has {size:,} bytes and the limit is {limit:,}; "
        "send less, or raise max_message_size_mb on both sides"
    )
