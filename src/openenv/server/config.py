"""What the routes of one server share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from openenv.protocol.codec import ServerCodec
from openenv.protocol.codec_v2 import ServerCodecV2
from openenv.protocol.codes import ServerMode
from openenv.protocol.formats import FORMATS, Format
from openenv.protocol.messages import SchemaResponse
from openenv.server.connection import Connection
from openenv.server.manager import SessionManager
from openenv.server.multiplex import MultiplexConnection


@dataclass
class ServerContext:
    """One server.

    Attributes:
        manager: Its sessions.
        codec: The types of its environment, for version 1 and HTTP.
        codec_v2: The same for version 2.
        schema: The JSON Schemas of its types.
        mode: Who it is for.
        max_message_size: Bytes of the largest message in either direction.
        spread: Makes the connections of a server of several processes, where they are not the usual ones.
    """

    manager: SessionManager
    codec: ServerCodec
    codec_v2: ServerCodecV2
    schema: SchemaResponse
    mode: ServerMode
    max_message_size: int
    spread: Callable[..., Any] | None = None

    def connection(
        self,
        subprotocols: Sequence[str],
        send: Callable[[bytes], None],
        close: Callable[[int], None],
        *,
        session_id: str | None = None,
    ) -> tuple[Format | None, Connection | MultiplexConnection]:
        """Return the format to speak, of those a client offers, and a connection that speaks it.

        Args:
            subprotocols: What the client offers, most wanted first; none is version 1.
            send: Sends a frame.
            close: Closes the transport after what was sent.
            session_id: The version 1 session to attach to.
        """
        size = self.max_message_size
        chosen = next((FORMATS[name] for name in subprotocols if name in FORMATS), None)
        if self.spread is not None and (made := self.spread(self, chosen, send, close, session_id)) is not None:
            return chosen, made
        if chosen is None:
            return None, Connection(self.manager, self.codec, send, close, max_size=size, session_id=session_id)
        return chosen, MultiplexConnection(self.manager, self.codec_v2, chosen, send, close, max_size=size)
