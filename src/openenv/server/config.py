"""What the routes of one server share."""

from __future__ import annotations

from dataclasses import dataclass

from openenv.protocol.codec import ServerCodec
from openenv.protocol.codes import ServerMode
from openenv.protocol.messages import SchemaResponse
from openenv.server.manager import SessionManager


@dataclass
class ServerContext:
    """One server.

    Attributes:
        manager: Its sessions.
        codec: The types of its environment.
        schema: The JSON Schemas of its types.
        mode: Who it is for.
        max_message_size: Bytes of the largest message in either direction.
    """

    manager: SessionManager
    codec: ServerCodec
    schema: SchemaResponse
    mode: ServerMode
    max_message_size: int
