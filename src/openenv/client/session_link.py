"""The usual link: version 2 of the protocol, or version 1 where the server speaks no other."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from openenv.client.calls import RemoteSession
from openenv.client.link import LinkOptions, WebSocketLink
from openenv.client.mux import Multiplexer, OldServerError
from openenv.client.progress import OnProgress
from openenv.errors import SessionLost
from openenv.protocol.formats import JSON, Format, Incoming


class SessionLink:
    """One session on a connection of its own.

    Args:
        url: Address of the WebSocket.
        options: Budgets and limits.
        format_: The encoding to ask for.
    """

    tool_changes = 0  # it is never told

    def __init__(self, url: str, options: LinkOptions, format_: Format = JSON) -> None:
        self.url = url
        self.format = format_
        self._options = options
        self._mux: Multiplexer | None = None
        self._session: RemoteSession | None = None
        self._old: WebSocketLink | None = None

    @property
    def late_replies(self) -> int:
        """Replies that came after their caller had given up."""
        link: Any = self._old or self._mux
        return link.late_replies if link is not None else 0

    @property
    def socket(self) -> Any:
        """The open socket, if there is one."""
        link: Any = self._old or self._mux
        return link.socket if link is not None else None

    @property
    def connected(self) -> bool:
        """Whether requests can be sent; also while a lost connection is being made again."""
        if self._old is not None:
            return self._old.connected
        return self._session is not None and self._session.lost is None

    async def connect(self) -> None:
        """See `Link.connect`."""
        mux = Multiplexer(self.url, self._options, self.format)
        try:
            await mux.connect()
        except OldServerError as error:
            self.format = JSON
            self._old = WebSocketLink(self.url, self._options)
            self._old.adopt(error.socket, error.early, error.ended)
            return
        self._mux = mux
        mux.users += 1
        try:
            [self._session] = await mux.open_sessions(1)
        except BaseException:
            await mux.close()
            raise

    def request(
        self,
        verb: str,
        data: bytes | None = None,
        timeout_s: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> Awaitable[Incoming]:
        """See `Link.request`."""
        if self._old is not None:
            return self._old.request(verb, data, timeout_s)
        if self._mux is None or self._session is None:
            raise SessionLost("The connection was closed")
        return self._mux.request(self._session, verb, data, timeout_s, on_progress)

    async def cancel(self) -> bool:
        """See `Link.cancel`."""
        if self._mux is None or self._session is None:
            return False
        return await self._mux.cancel(self._session)

    @property
    def is_old(self) -> bool:
        """Whether the server speaks version 1 only."""
        return self._old is not None

    def sibling(self, session_id: str) -> SessionLink:
        """Return a link of another session that this connection holds."""
        assert self._mux is not None
        link = SessionLink(self.url, self._options, self.format)
        link._mux, link._session = self._mux, self._mux.held(session_id)
        self._mux.users += 1
        return link

    async def close(self) -> None:
        """See `Link.close`. The last link of a connection closes it."""
        session, self._session = self._session, None
        if self._old is not None:
            await self._old.close()
        elif self._mux is not None and session is not None:
            self._mux.users -= 1
            if self._mux.users:
                await self._mux.close_sessions([session])
            else:
                await self._mux.close()
