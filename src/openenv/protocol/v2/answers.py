"""What a server answers, but for copies of sessions: see `copies`."""

from __future__ import annotations

from typing import Any, Generic, Literal

from openenv.models import Model
from openenv.protocol.messages import ErrorData, ObservationT, ResultData


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
        capabilities: What it can do beyond the least: `batch`, `cancel`, `resume`, `snapshot`.
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
