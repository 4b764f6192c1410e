"""What is asked of a session, one thing at a time, and the episode it is asked in."""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from openenv.errors import RequestError
from openenv.server.host import Operation, Reply

if TYPE_CHECKING:
    from openenv.server.runner import Runner
    from openenv.server.sessions import Session
    from openenv.server.snapshots import Point

OnReply = Callable[[Reply], None]


@dataclass
class Copied:
    """What an operation came to, once the session's own environment is not needed any more.

    Attributes:
        reply: The answer; None if it is given later.
        error: Why it failed instead.
        point: Where the session stands now, if that has changed.
        runner: The environment that takes the place of the session's own.
    """

    reply: Reply | None = None
    error: RequestError | None = None
    point: Point | None = None
    runner: Runner | None = None


Done = Callable[[Copied], bool]
"""Returns whether the request was still waited for; if not, what was made is to be undone."""


class CopyOperation(ABC):
    """Something that takes more than a call of the environment; see `server.copying`."""

    verb: ClassVar[str]

    @abstractmethod
    def begin(self, session: Session, runner: Runner, request: Request, done: Done) -> None:
        """Begin; `done` is called once, on the loop."""


@dataclass(slots=True, eq=False)
class Request:
    """One thing asked of a session, and who is to be told.

    Attributes:
        operation: What; None for an answer that is known already.
        known: That answer.
        reply: Called with the answer.
        given: The answer, once there is one.
        also: Who else is to be told, having sent the same request again.
        progress: Told how far it is, if anybody wants to hear of it.
    """

    operation: Operation | CopyOperation | None
    reply: OnReply
    known: Reply | None = None
    given: Reply | None = None
    also: list[OnReply] | None = None
    progress: Callable[[dict[str, Any]], None] | None = None

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
    """One episode, as the server counts it; `parent_id` is that of the one it was forked from."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    seed: int | None = None
    started: float = field(default_factory=time.monotonic)
    steps: int = 0
    parent_id: str | None = None
