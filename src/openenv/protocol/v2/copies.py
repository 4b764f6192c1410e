"""Snapshots and forks of a session: what a client asks and what a server answers."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from openenv.models import Model
from openenv.protocol.v2.answers import OpenedSession
from openenv.protocol.v2.requests import MAX_BATCH, Frame


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
