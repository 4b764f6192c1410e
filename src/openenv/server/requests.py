"""What is asked of a session, one thing at a time, and the episode it is asked in."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from openenv.server.host import Operation, Reply

OnReply = Callable[[Reply], None]


@dataclass(slots=True, eq=False)
class Request:
    """One thing asked of a session, and who is to be told.

    Attributes:
        operation: What; None for an answer that is known already.
        known: That answer.
        reply: Called with the answer.
        given: The answer, once there is one.
        also: Who else is to be told, having sent the same request again.
        asker: The connection that is told of its progress, if that is of version 2.
        number: Its id on that connection.
    """

    operation: Operation | None
    reply: OnReply
    known: Reply | None = None
    given: Reply | None = None
    also: list[OnReply] | None = None
    asker: Any = None
    number: int = 0

    @property
    def answered(self) -> bool:
        """Whether the answer has been given."""
        return self.given is not None

    def answer(self, reply: Reply) -> None:
        """Give the answer."""
        self.given = reply
        self.reply(reply)
        for tell in self.also or ():
            tell(reply)


@dataclass(slots=True)
class Episode:
    """One episode, as the server counts it."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    seed: int | None = None
    started: float = field(default_factory=time.monotonic)
    steps: int = 0
