"""HTTP connections that say nothing, or only half of it, do not stay.

uvicorn bounds how long a connection may rest between two requests, and nothing else: one that never sends its
first, or stops in the middle of it, would hold a file descriptor for ever. Here the head of a request has to be
there in time, and its body has to go on coming.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from openenv.server import budgets

_TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class PunctualHttp(HttpToolsProtocol):
    """What uvicorn makes for a connection."""

    _limit: asyncio.TimerHandle | None = None
    _begun = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._expect_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._expect_nothing()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins: its head is to be there in time, counted from here or from when we began to wait."""
        super().on_message_begin()
        self._begun = True
        if self._limit is None:
            self._expect_more()

    def on_headers_complete(self) -> None:
        """The head is there; the body may take any time, as long as it goes on."""
        self._expect_nothing()
        super().on_headers_complete()
        if not self.parser.should_upgrade():
            self._expect_more()

    def on_body(self, body: bytes) -> None:
        """Some of the body is there."""
        super().on_body(body)
        self._expect_more()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._expect_nothing()
        self._begun = False
        super().on_message_complete()

    def _expect_more(self) -> None:
        self._expect_nothing()
        self._limit = self.loop.call_later(budgets.HANDSHAKE_S, self._give_up)

    def _expect_nothing(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _give_up(self) -> None:
        self._limit = None
        if self._begun and (self.cycle is None or self.cycle.response_complete):
            self.transport.write(_TOO_LATE)
        self.transport.close()
