"""Every frame of wire version 2, as pydantic models; see `docs/protocol.md`.

Requests carry an `id`, sessions are named in the frame, and what changes a session carries its sequence number.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, Self

from pydantic import ConfigDict, Field, model_validator

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


class SnapshotName(Model):
    """Which snapshot.

    Attributes:
        snapshot: Its id.
    """

    model_config = ConfigDict(extra="forbid")

    snapshot: str


class ForkData(Model):
    """Into how many sessions one is forked, and how they differ.

    Attributes:
        count: How many. All of them are opened, or none.
        seeds: A seed for the random generators of each; without, all go on with the same random numbers.
    """

    model_config = ConfigDict(extra="forbid")

    count: int = Field(default=1, ge=1, le=MAX_BATCH)
    seeds: list[Annotated[int, Field(ge=0, lt=2**63)]] | None = None

    @model_validator(mode="after")
    def _one_seed_for_each(self) -> Self:
        if self.seeds is not None and len(self.seeds) != self.count:
            raise ValueError(f"There are {len(self.seeds)} seeds for {self.count} forks; give one for each")
        return self


class Snapshot(Frame):
    """Keep the state of an episode.

    Attributes:
        session: Whose.
        seq: Its next sequence number, or the last one again.
    """

    type: Literal["snapshot"] = "snapshot"
    session: str
    seq: int = Field(ge=1)


class Restore(Frame):
    """Put a session into a state that was kept, by itself or by another.

    Attributes:
        session: Which session.
        seq: Its next sequence number, or the last one again.
        data: Which snapshot.
    """

    type: Literal["restore"] = "restore"
    session: str
    seq: int = Field(ge=1)
    data: SnapshotName


class Fork(Frame):
    """Open sessions that go on from where one stands.

    Attributes:
        session: Which one.
        seq: Its next sequence number, or the last one again.
        data: How many, and with which seeds.
    """

    type: Literal["fork"] = "fork"
    session: str
    seq: int = Field(ge=1)
    data: ForkData = Field(default_factory=ForkData)


class ListSnapshots(Frame):
    """Ask which snapshots a session has taken.

    Attributes:
        session: Which one.
    """

    type: Literal["snapshots"] = "snapshots"
    session: str


class Drop(Frame):
    """Drop a snapshot.

    Attributes:
        session: Any session of the same process of the server.
        data: Which snapshot. One that is gone already is no error.
    """

    type: Literal["drop"] = "drop"
    session: str
    data: SnapshotName


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


class SnapshotData(Model):
    """One snapshot.

    Attributes:
        snapshot: Its id, which is all that it takes to use it.
        episode_id: The episode it was taken in.
        step_count: Steps taken in that.
        size: Bytes it takes; null for a process, whose memory is shared with others.
        age_s: Seconds since it was taken.
        expires_s: Seconds until it is dropped, unless it is used.
    """

    snapshot: str
    episode_id: str | None
    step_count: int
    size: int | None
    age_s: float
    expires_s: float


class PointData(Model):
    """Where a session stands.

    Attributes:
        episode_id: Its episode, as it is called from here on.
        parent_id: The episode that this one was forked from.
        seed: What the episode was reset with.
        step_count: Steps taken in it.
        done: Whether it is over.
    """

    episode_id: str | None
    parent_id: str | None
    seed: int | None
    step_count: int
    done: bool


class ForkedSession(OpenedSession):
    """One fork: a session as `open` opens them, in the middle of an episode.

    Attributes:
        episode_id: What its episode is called.
    """

    episode_id: str | None


class ForkedData(Model):
    """What a session was forked into. This connection holds all of it.

    Attributes:
        sessions: The forks.
        parent_id: The episode they were forked from.
        seed: What that was reset with.
        step_count: Steps taken in it.
        done: Whether it is over.
    """

    sessions: list[ForkedSession]
    parent_id: str | None
    seed: int | None
    step_count: int
    done: bool


class Snapshotted(Model):
    """The answer to `snapshot`.

    Attributes:
        session: Whose.
        seq: The number of the request.
        data: The snapshot.
    """

    id: int
    type: Literal["snapshotted"] = "snapshotted"
    session: str
    seq: int
    data: SnapshotData


class Restored(Model):
    """The answer to `restore`.

    Attributes:
        session: Which one.
        seq: The number of the request.
        data: Where it stands.
    """

    id: int
    type: Literal["restored"] = "restored"
    session: str
    seq: int
    data: PointData


class Forked(Model):
    """The answer to `fork`.

    Attributes:
        session: Which one was forked.
        seq: The number of the request.
        data: The forks.
    """

    id: int
    type: Literal["forked"] = "forked"
    session: str
    seq: int
    data: ForkedData


class SnapshotsData(Model):
    """The snapshots of a session.

    Attributes:
        snapshots: The oldest first.
    """

    snapshots: list[SnapshotData]


class SnapshotList(Model):
    """The answer to `snapshots`.

    Attributes:
        session: Whose.
        data: What it has taken.
    """

    id: int
    type: Literal["snapshots"] = "snapshots"
    session: str
    data: SnapshotsData


class DroppedData(Model):
    """What came of a drop.

    Attributes:
        found: Whether there was such a snapshot.
    """

    found: bool


class Dropped(Model):
    """The answer to `drop`.

    Attributes:
        session: The session of the request.
        data: Whether there was anything to drop.
    """

    id: int
    type: Literal["dropped"] = "dropped"
    session: str
    data: DroppedData


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
