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


# --- answers -----------------------------------------------------------------------------------------


class Limits(Model):
    """What a server allows and expects; times in seconds, sizes in bytes.

    Attributes:
        max_message_size: Of a message in either direction.
        heartbeat_s: Silence after which the client sends a `ping`.
        lease_s: How long a session waits to be resumed.
    """

    max_message_size: int
    heartbeat_s: float
    lease_s: float


class Welcome(Model):
    """The answer to `hello`.

    Attributes:
        version: The version that is spoken: 2.
        server: Name and version of the server.
        capabilities: What it can do beyond the least: `batch`, `cancel`, `resume`.
        limits: What it allows and expects.
    """

    id: int
    type: Literal["welcome"] = "welcome"
    version: int
    server: str
    capabilities: list[str]
    limits: Limits


class OpenedSession(Model):
    """One opened session and the token that proves it is yours.

    Attributes:
        session: Its id.
        token: Proves the right to resume it. Not to be logged.
    """

    session: str
    token: str


class Opened(Model):
    """The answer to `open`.

    Attributes:
        sessions: As many as were asked for.
        lease_s: Seconds a session waits to be resumed.
    """

    id: int
    type: Literal["opened"] = "opened"
    sessions: list[OpenedSession]
    lease_s: float


class Resumed(Model):
    """The answer to `resume`: where the session stands.

    Attributes:
        session: Which one.
        seq: The last sequence number it knows; 0 if there was none.
        phase: `creating`, `ready` (never reset), `running`, `ended` or `broken`.
        episode_id: Of the running or last episode.
    """

    id: int
    type: Literal["resumed"] = "resumed"
    session: str
    seq: int
    phase: str
    episode_id: str | None = None


class ObservationAnswer(Model, Generic[ObservationT]):
    """The answer to `reset` and `step`.

    Attributes:
        session: Whose.
        seq: The number of the request.
        data: What the environment answered.
    """

    id: int
    type: Literal["observation"] = "observation"
    session: str
    seq: int
    data: ResultData[ObservationT]


class AnswerItem(Model, Generic[ObservationT]):
    """The answer to one item of a batch: `data` or `error`.

    Attributes:
        session: Whose.
        seq: The number of the item.
        data: What the environment answered.
        error: Why it did not.
    """

    session: str
    seq: int
    data: ResultData[ObservationT] | None = None
    error: ErrorData | None = None


class Observations(Model, Generic[ObservationT]):
    """Answers to items of a batch; `last` when all of them have been sent.

    Attributes:
        items: Those that are ready, in any order.
        last: No more will follow.
    """

    id: int
    type: Literal["observations"] = "observations"
    items: list[AnswerItem[ObservationT]]
    last: bool


class StateAnswer(Model):
    """The answer to `state`.

    Attributes:
        session: Whose.
        data: The environment's state.
    """

    id: int
    type: Literal["state"] = "state"
    session: str
    data: dict[str, Any]


class ErrorAnswer(Model):
    """The answer to a request that was refused or failed.

    Attributes:
        id: Of the request, or null.
        session: Whose, where it is about one.
        seq: The number of the request, where it had one.
        data: What is wrong.
    """

    id: int | None
    type: Literal["error"] = "error"
    session: str | None = None
    seq: int | None = None
    data: ErrorData


class Closed(Model):
    """The answer to `close`.

    Attributes:
        session: Which one.
    """

    id: int
    type: Literal["closed"] = "closed"
    session: str


class Cancelled(Model):
    """The answer to `cancel`.

    Attributes:
        target: The id of the request.
        found: Whether it was still under way, and is answered with CANCELLED.
    """

    id: int
    type: Literal["cancelled"] = "cancelled"
    target: int
    found: bool


class Pong(Model):
    """The answer to `ping`."""

    id: int
    type: Literal["pong"] = "pong"


class McpAnswer(Model):
    """A JSON-RPC answer.

    Attributes:
        session: Whose.
        data: The JSON-RPC answer.
    """

    id: int
    type: Literal["mcp"] = "mcp"
    session: str
    data: dict[str, Any]


class ProgressData(Model):
    """How far a request is; more keys may be given.

    Attributes:
        fraction: How much is done, from 0 to 1; null if that is not known.
        message: What is being done.
    """

    model_config = ConfigDict(extra="allow")

    fraction: float | None = None
    message: str = ""


class Progress(Model):
    """How a long request gets on; unasked.

    Attributes:
        id: Of the request.
        session: Whose.
        data: What the environment says of it.
    """

    id: int
    type: Literal["progress"] = "progress"
    session: str
    data: ProgressData


class Ended(Model):
    """A session is over, and why; unasked.

    Attributes:
        session: Which one.
        data: Why.
    """

    type: Literal["ended"] = "ended"
    session: str
    data: ErrorData
