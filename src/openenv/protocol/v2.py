"""Every frame of wire version 2, as pydantic models; see `docs/protocol.md`.

Requests carry an `id`, sessions are named in the frame, and what changes a session carries its sequence number.
"""

from __future__ import annotations

from typing import Any, Generic, Literal

from pydantic import ConfigDict, Field

from openenv.models import Model
from openenv.protocol.messages import ActionT, ErrorData, ObservationT, ResetRequest, ResultData

VERSION = 2
SUBPROTOCOL_JSON = "openenv.v2"
SUBPROTOCOL_MSGPACK = "openenv.v2.msgpack"

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
        version: Of the protocol.
        client: Name and version of the sender, for logs.
        max_message_size: Bytes of the largest message the sender takes.
    """

    type: Literal["hello"] = "hello"
    version: int
    client: str = ""
    max_message_size: int | None = Field(default=None, ge=1024)


class Open(Frame):
    """Open sessions."""

    type: Literal["open"] = "open"
    count: int = Field(default=1, ge=1, le=MAX_BATCH)


class Resume(Frame):
    """Take a session over from a connection that was lost."""

    type: Literal["resume"] = "resume"
    session: str
    token: str


class ResetItem(Model):
    """A reset of one session."""

    model_config = ConfigDict(extra="forbid")

    session: str
    seq: int = Field(ge=1)
    data: ResetRequest = Field(default_factory=ResetRequest)


class StepItem(Model, Generic[ActionT]):
    """A step of one session."""

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
    """Start an episode in each of several sessions."""

    type: Literal["reset_many"] = "reset_many"
    items: list[ResetItem] = Field(min_length=1, max_length=MAX_BATCH)


class StepMany(Frame, Generic[ActionT]):
    """Take a step in each of several sessions."""

    type: Literal["step_many"] = "step_many"
    items: list[StepItem[ActionT]] = Field(min_length=1, max_length=MAX_BATCH)


class GetState(Frame):
    """Ask for the state of a session."""

    type: Literal["state"] = "state"
    session: str


class Close(Frame):
    """End a session."""

    type: Literal["close"] = "close"
    session: str


class Cancel(Frame):
    """Stop a request that is under way."""

    type: Literal["cancel"] = "cancel"
    target: int


class Ping(Frame):
    """The heartbeat."""

    type: Literal["ping"] = "ping"


class Mcp(Frame):
    """A JSON-RPC request of the Model Context Protocol."""

    type: Literal["mcp"] = "mcp"
    session: str
    data: dict[str, Any]


# --- answers -----------------------------------------------------------------------------------------


class Limits(Model):
    """What a server allows and expects; times in seconds, sizes in bytes."""

    max_message_size: int
    heartbeat_s: float
    lease_s: float


class Welcome(Model):
    """The answer to `hello`."""

    id: int
    type: Literal["welcome"] = "welcome"
    version: int
    server: str
    capabilities: list[str]
    limits: Limits


class OpenedSession(Model):
    """One opened session and the token that proves it is yours."""

    session: str
    token: str


class Opened(Model):
    """The answer to `open`."""

    id: int
    type: Literal["opened"] = "opened"
    sessions: list[OpenedSession]
    lease_s: float


class Resumed(Model):
    """The answer to `resume`: where the session stands."""

    id: int
    type: Literal["resumed"] = "resumed"
    session: str
    seq: int
    phase: str
    episode_id: str | None = None


class ObservationAnswer(Model, Generic[ObservationT]):
    """The answer to `reset` and `step`."""

    id: int
    type: Literal["observation"] = "observation"
    session: str
    seq: int
    data: ResultData[ObservationT]


class AnswerItem(Model, Generic[ObservationT]):
    """The answer to one item of a batch: `data` or `error`."""

    session: str
    seq: int
    data: ResultData[ObservationT] | None = None
    error: ErrorData | None = None


class Observations(Model, Generic[ObservationT]):
    """Answers to items of a batch; `last` when all of them have been sent."""

    id: int
    type: Literal["observations"] = "observations"
    items: list[AnswerItem[ObservationT]]
    last: bool


class StateAnswer(Model):
    """The answer to `state`."""

    id: int
    type: Literal["state"] = "state"
    session: str
    data: dict[str, Any]


class ErrorAnswer(Model):
    """The answer to a request that was refused or failed; `id` is null if the request had none to be read."""

    id: int | None
    type: Literal["error"] = "error"
    session: str | None = None
    seq: int | None = None
    data: ErrorData


class Closed(Model):
    """The answer to `close`."""

    id: int
    type: Literal["closed"] = "closed"
    session: str


class Cancelled(Model):
    """The answer to `cancel`: whether the target was still under way."""

    id: int
    type: Literal["cancelled"] = "cancelled"
    target: int
    found: bool


class Pong(Model):
    """The answer to `ping`."""

    id: int
    type: Literal["pong"] = "pong"


class McpAnswer(Model):
    """A JSON-RPC answer."""

    id: int
    type: Literal["mcp"] = "mcp"
    session: str
    data: dict[str, Any]


class Progress(Model):
    """How a long request gets on; unasked."""

    id: int
    type: Literal["progress"] = "progress"
    session: str
    data: dict[str, Any]


class Ended(Model):
    """A session is over, and why; unasked."""

    type: Literal["ended"] = "ended"
    session: str
    data: ErrorData
