"""Which session an MCP message is for: its client's own, one a trainer lends, or one of the old way of calling."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from openenv.errors import RequestError, SessionNotFoundError
from openenv.mcp.types import JsonRpcErrorCode
from openenv.protocol.codes import ServerMode
from openenv.server.mcp.peer import Peer
from openenv.server.mcp.rpc import Call, RpcError, Send, number_of, refusal
from openenv.server.sessions import Session

if TYPE_CHECKING:
    from openenv.server.manager import SessionManager


class Door:
    """Opens sessions for MCP clients, and finds them again.

    Args:
        manager: The server's sessions.
    """

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager

    def open(self, on_end: Callable[[RequestError], None] | None = None) -> Peer:
        """Return a client with a session of its own.

        Args:
            on_end: Called if the session ends, for a connection that holds it; one that nobody holds ends by its
                idle budget.

        Raises:
            SessionCapacityError: Every slot is taken.
        """
        session = self._manager.open(attached=on_end is not None, on_end=on_end)
        session.peer = peer = Peer(self._manager, session)
        return peer

    def borrow(self, session_id: str, token: str | None = None) -> Peer:
        """Return a client that uses the session of a trainer, who begins its episodes.

        Args:
            session_id: Its id.
            token: Its token, which one that a connection holds needs.

        Raises:
            SessionNotFoundError: There is none, or the token is not its.
            RequestError: There was one; this is why it ended.
        """
        if self._manager.mode == ServerMode.PRODUCTION:
            raise SessionNotFoundError("A server in production mode has no sessions of trainers")
        session = self._manager.get(session_id)
        if token is None:
            session = self._manager.get_unattached(session_id)
        elif not hmac.compare_digest(token.encode(), session.token.encode()):
            raise SessionNotFoundError(f"The token is not that of the session {session_id!r}")
        session.peer = peer = Peer(self._manager, session, begins=False, owns=False)
        return peer

    def find(self, session_id: str) -> Peer:
        """Return the client that has been given this id of a session.

        Raises:
            SessionNotFoundError: There is none.
            RequestError: There was one; this is why it ended.
        """
        peer: Peer | None = self._manager.get(session_id).peer
        if peer is None:
            raise SessionNotFoundError(f"No MCP session {session_id!r}: call initialize")
        return peer

    def plainly(self, message: Any, send: Send, session: Session | None = None) -> None:
        """Answer a request that comes without a session of MCP, as programs send that know no `initialize`.

        Args:
            message: The request.
            send: Called with the answer.
            session: Where it is meant if it does not say; by default the one that all such callers share.
        """
        try:
            call = Call.of(message, send)
            if call is None:
                return
            match call.method:
                case "openenv/session/create":
                    call.answer({"session_id": self.open().session.id})
                case "openenv/session/close":
                    self._named(call).end()
                    call.answer({"session_id": call.params["session_id"], "closed": True})
                case _ if "session_id" in call.params:
                    self._named(call).peer_of_holder().received(message, send)
                case _:
                    (session or self._manager.default()).peer_of_holder().received(message, send)
        except RpcError as error:
            send(refusal(number_of(message), error))
        except RequestError as error:
            send(refusal(number_of(message), RpcError.of(error)))

    def _named(self, call: Call) -> Session:
        name = call.params.get("session_id")
        try:
            return self._manager.get_unattached(str(name))
        except RequestError as error:
            raise RpcError(
                JsonRpcErrorCode.INVALID_PARAMS, f"Unknown session_id: {name}", error.to_wire()
            ) from None
