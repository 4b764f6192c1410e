"""What both ends make of a picows WebSocket: whole messages, and one callback when it ends.

Import it where a socket is opened: picows is a compiled module that only a running client or server needs.
"""

from __future__ import annotations

from typing import cast

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

TOO_LARGE = WSCloseCode.MESSAGE_TOO_BIG


class MessageListener(WSListener):
    """Puts the frames of messages together. Subclass it and define `message` and `ended`.

    Args:
        max_size: Bytes a message may have; the connection of a longer one is closed with 1009. For a message of
            one frame picows sees to it, given the same `max_frame_size`.
    """

    def __init__(self, max_size: int) -> None:
        self.transport: WSTransport
        self._max_size = max_size
        self._parts: list[bytes] = []
        self._parts_size = 0
        self._parts_binary = False
        self._close_code: int | None = None
        self._close_reason = ""

    def message(self, raw: bytes, binary: bool) -> None:
        """A message has come."""
        raise NotImplementedError

    def ended(self, code: int | None, reason: str) -> None:
        """The connection is over; `code` is None if there was no close frame."""
        raise NotImplementedError

    # --- called by picows ------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Remember the transport."""
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Hand on a message once it is whole."""
        kind = frame.msg_type
        if frame.payload_size > self._max_size:
            return  # picows has given the connection up, yet may hand on what it was reading
        if kind == WSMsgType.TEXT and frame.fin:
            self.message(frame.get_payload_as_bytes(), False)
        elif kind == WSMsgType.BINARY and frame.fin:
            self.message(frame.get_payload_as_bytes(), True)
        elif kind == WSMsgType.CLOSE:
            code = frame.get_close_code()
            self._close_code = cast("int | None", code)  # an IntEnum that takes any number
            self._close_reason = frame.get_close_reason() or ""
            transport.send_close(code)
            transport.disconnect()
        elif kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._part(transport, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Tell that it is over."""
        self.ended(self._close_code, self._close_reason)

    def _part(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.CONTINUATION:
            self._parts, self._parts_size, self._parts_binary = [], 0, frame.msg_type == WSMsgType.BINARY
        self._parts.append(frame.get_payload_as_bytes())
        self._parts_size += len(self._parts[-1])
        if self._parts_size > self._max_size:
            self._close_code = TOO_LARGE.value
            transport.send_close(TOO_LARGE)
            transport.disconnect()
        elif frame.fin:
            message, self._parts, self._parts_size = b"".join(self._parts), [], 0
            self.message(message, self._parts_binary)
