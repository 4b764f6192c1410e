"""What a client asks, but for copies of sessions: see `copies`."""

from __future__ import annotations

from typing import Any, Generic, Literal

from pydantic import ConfigDict, Field

from openenv.models import Model
from openenv.protocol.messages import ActionT, ResetRequest

MAX_BATCH = 4096
"""Items a batch may have, and sessions one `open` may ask for."""


class Frame(Model):
    """A request: unknown keys are refused.

    Attributes:
        id: Chosen by the sender, not used before on this connection.
    """

    model_config = ConfigDict(extra="forbid")

    id: int = Field(ge=0)


class Hello(Frame):
    """The first frame of a connection.

    Attributes:
        version: The version to speak: 2.
        client: Name and version of the sender, as in `openenv/1.0.0`.
        max_message_size: Bytes of the largest message the sender takes.
    """

    type: Literal["hello"] = "hello"
    version: int
    client: str = ""
    max_message_size: int | None = Field(default=None, ge=1024)


class Open(Frame):
    """Open sessions.

    Attributes:
        count: How many. All of them are opened, or none.
    """

    type: Literal["open"] = "open"
    count: int = Field(default=1, ge=1, le=MAX_BATCH)


class Resume(Frame):
    """Take a session over from a connection that was lost.

    Attributes:
        session: Which one.
        token: What `opened` said, which proves that it is the sender's.
    """

    type: Literal["resume"] = "resume"
    session: str
    token: str


class ResetItem(Model):
    """A reset of one session.

    Attributes:
        session: Which one.
        seq: Its next sequence number, or the last one again.
        data: Seed, episode id, and what else the environment's `reset` takes.
    """

    model_config = ConfigDict(extra="forbid")

    session: str
    seq: int = Field(ge=1)
    data: ResetRequest = Field(default_factory=ResetRequest)


class StepItem(Model, Generic[ActionT]):
    """A step of one session.

    Attributes:
        session: Which one.
        seq: Its next sequence number, or the last one again.
        data: The action.
        timeout_s: Seconds it may take; less than the server's step budget, never more.
    """

    model_config = ConfigDict(extra="forbid")

    session: str
    seq: int = Field(ge=1)
    data: ActionT
    timeout_s: float | None = Field(default=None, gt=0)


class Reset(ResetItem, Frame):
    """Start an episode."""

    type: Literal["reset"] = "reset"


class Step(StepItem[ActionT], Frame, Generic[ActionT]):
    """Take a step; `data` is the action."""

    type: Literal["step"] = "step"


class ResetMany(Frame):
    """Start an episode in each of several sessions.

    Attributes:
        items: The resets; each is answered by itself.
    """

    type: Literal["reset_many"] = "reset_many"
    items: list[ResetItem] = Field(min_length=1, max_length=MAX_BATCH)


class StepMany(Frame, Generic[ActionT]):
    """Take a step in each of several sessions.

    Attributes:
        items: The steps; each is answered by itself.
    """

    type: Literal["step_many"] = "step_many"
    items: list[StepItem[ActionT]] = Field(min_length=1, max_length=MAX_BATCH)


class GetState(Frame):
    """Ask for the state of a session.

    Attributes:
        session: Which one.
    """

    type: Literal["state"] = "state"
    session: str


class Close(Frame):
    """End a session.

    Attributes:
        session: Which one. One that has ended already is no error.
    """

    type: Literal["close"] = "close"
    session: str


class Cancel(Frame):
    """Stop a request that is under way.

    Attributes:
        target: The id of the request: a reset, step or state.
    """

    type: Literal["cancel"] = "cancel"
    target: int


class Ping(Frame):
    """The heartbeat."""

    type: Literal["ping"] = "ping"


class Mcp(Frame):
    """A JSON-RPC request of the Model Context Protocol.

    Attributes:
        session: Which one.
        data: The JSON-RPC request.
    """

    type: Literal["mcp"] = "mcp"
    session: str
    data: dict[str, Any]
