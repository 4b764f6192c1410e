"""The snapshots that a server keeps: a state that an environment has told, or a process that waits to be forked.

None outlives its use: a snapshot ends with the session that took it, when it is dropped, or when nobody has used it
for the length of its lease. One that would be too many is refused; none is dropped to make room for another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from openenv.errors import SessionLost, SnapshotLimitError, SnapshotNotFoundError
from openenv.server.requests import Episode

if TYPE_CHECKING:
    from openenv.server.runner import Runner
    from openenv.server.sessions import Phase
    from openenv.server.slots import Slots

MIB = 1024 * 1024


class SnapshotLimits(BaseModel):
    """How many snapshots one process of a server keeps.

    Attributes:
        count: Snapshots at once; each that is a process has the memory that it does not share with others.
        megabytes: MiB of all states that environments have told.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(default=64, ge=0)
    megabytes: float = Field(default=256.0, ge=0)


@dataclass(frozen=True)
class Point:
    """Where a session stood.

    Attributes:
        episode: Its episode; None if it had none.
        phase: Its phase.
        elapsed_s: Seconds since its reset.
    """

    episode: Episode | None
    phase: Phase
    elapsed_s: float = 0.0

    def again(self, now: float, *, forked: bool) -> Episode | None:
        """Return the episode as it goes on from here.

        Args:
            now: The monotonic time.
            forked: It is another one from here on, with an id of its own.
        """
        if self.episode is None:
            return None
        same = replace(self.episode, started=now - self.elapsed_s)
        return replace(same, id=Episode().id, parent_id=self.episode.id) if forked else same

    @property
    def done(self) -> bool:
        """Whether the episode was over."""
        return self.phase.value == "ended"


@dataclass(eq=False)
class Snapshot:
    """One snapshot.

    Attributes:
        id: Its id; whoever knows it may use it.
        owner: The session that took it.
        point: Where that stood.
        kept: The state that the environment told.
        runner: The process that waits to be forked instead.
        taken_at: When it was taken.
        used_at: When it was used last.
    """

    id: str
    owner: str
    point: Point
    kept: bytes | None = None
    runner: Runner | None = None
    taken_at: float = 0.0
    used_at: float = field(default=0.0)

    @property
    def size(self) -> int:
        """Bytes that count."""
        return len(self.kept) if self.kept is not None else 0


class Snapshots:
    """All snapshots of one process of a server.

    Args:
        limits: How many.
        lease_s: Seconds that one is kept without being used.
        slots: Names them, so that an id tells where it is.
        clock: Tells the time in seconds.
    """

    def __init__(
        self, limits: SnapshotLimits, lease_s: float, slots: Callable[[], Slots], clock: Callable[[], float]
    ) -> None:
        self.limits = limits
        self.lease_s = lease_s
        self._slots = slots
        self._clock = clock
        self._kept: dict[str, Snapshot] = {}
        self._coming = 0
        self._timer: asyncio.TimerHandle | None = None

    # --- keeping -----------------------------------------------------------------------------------------

    def reserve(self) -> None:
        """Take a place for a snapshot that is being taken; `keep` or `release` follows.

        Raises:
            SnapshotLimitError: There is none.
        """
        if len(self._kept) + self._coming >= self.limits.count:
            raise SnapshotLimitError(
                f"The server keeps {len(self._kept)} snapshots of {self.limits.count} it may keep: drop some, or "
                "raise its SnapshotLimits(count=...)"
            )
        self._coming += 1

    def release(self) -> None:
        """Give a place back."""
        self._coming -= 1

    def keep(
        self, owner: str, point: Point, *, kept: bytes | None = None, runner: Runner | None = None
    ) -> Snapshot:
        """Keep a snapshot in the place that was taken for it.

        Raises:
            SnapshotLimitError: The state has more bytes than there is room for.
        """
        used = sum(one.size for one in self._kept.values())
        if kept is not None and used + len(kept) > self.limits.megabytes * MIB:
            raise SnapshotLimitError(
                f"A state of {len(kept):,} bytes has no room beside {used:,} bytes of other snapshots, of "
                f"{self.limits.megabytes:g} MiB: drop some, or raise the server's SnapshotLimits(megabytes=...)"
            )
        now = self._clock()
        snapshot = Snapshot(self._slots().new_id(), owner, point, kept, runner, taken_at=now, used_at=now)
        self._kept[snapshot.id] = snapshot
        self._coming -= 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.lease_s, self._look)
        return snapshot

    # --- finding -----------------------------------------------------------------------------------------

    def use(self, snapshot_id: str) -> Snapshot:
        """Return a snapshot, whose lease begins anew.

        Raises:
            SnapshotNotFoundError: There is none of this id here.
        """
        found = self._kept.get(snapshot_id)
        if found is None:
            raise SnapshotNotFoundError(self._absence(snapshot_id))
        found.used_at = self._clock()
        return found

    def _absence(self, snapshot_id: str) -> str:
        try:
            elsewhere = self._slots().elsewhere(snapshot_id)
        except SessionLost as lost:
            return f"The snapshot {snapshot_id!r} is lost: {lost.message}"
        if elsewhere is not None:
            return (
                f"The snapshot {snapshot_id!r} is in another process of the server than this session: restore it "
                "in the session that took it, or in a fork of that"
            )
        return (
            f"No snapshot {snapshot_id!r}: it was dropped, was not used for {self.lease_s:g} s, ended with the "
            "session that took it, or is of another server"
        )

    def of(self, owner: str) -> list[Snapshot]:
        """Return the snapshots that a session has taken, the oldest first."""
        return [one for one in self._kept.values() if one.owner == owner]

    def told(self, snapshot: Snapshot) -> dict[str, Any]:
        """Return what is told of a snapshot."""
        now, episode = self._clock(), snapshot.point.episode
        return {
            "snapshot": snapshot.id,
            "episode_id": episode.id if episode is not None else None,
            "step_count": episode.steps if episode is not None else 0,
            "size": None if snapshot.kept is None else snapshot.size,
            "age_s": round(now - snapshot.taken_at, 3),
            "expires_s": round(max(0.0, snapshot.used_at + self.lease_s - now), 3),
        }

    # --- ends --------------------------------------------------------------------------------------------

    def drop(self, snapshot_id: str) -> bool:
        """Drop a snapshot; return whether there was one."""
        found = self._kept.pop(snapshot_id, None)
        if found is not None and found.runner is not None:
            found.runner.stop()
        return found is not None

    def session_ended(self, owner: str) -> None:
        """Drop what a session has taken."""
        for snapshot in self.of(owner) if self._kept else ():
            self.drop(snapshot.id)

    def close(self) -> None:
        """Drop all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for snapshot_id in list(self._kept):
            self.drop(snapshot_id)

    def _look(self) -> None:
        self._timer = None
        now = self._clock()
        for snapshot in list(self._kept.values()):
            if now - snapshot.used_at >= self.lease_s:
                self.drop(snapshot.id)
        if self._kept:
            next_end = min(one.used_at for one in self._kept.values()) + self.lease_s
            self._timer = asyncio.get_running_loop().call_later(max(next_end - now, 0.01), self._look)
