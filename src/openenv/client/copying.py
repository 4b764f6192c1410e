"""Episodes that are kept, put back and forked: what a client can do beside playing.

The requests go the way of every other, under the session's sequence numbers, so each is executed once however often
the connection is lost. Forks are sessions on the connection of the one they came from; the last to be closed closes
it.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError

from openenv.client.core import Core, ModelT
from openenv.client.faces import Face, Faces
from openenv.client.results import Results
from openenv.client.session_link import SessionLink
from openenv.errors import InvalidReplyError, RequestError, SnapshotUnsupportedError
from openenv.models import EnvironmentMetadata, EpisodePoint, Nothing, Settled, SnapshotInfo
from openenv.protocol import v2
from openenv.protocol.formats import Incoming

if TYPE_CHECKING:
    from openenv.client.link import Link, LinkOptions


class SnapshotId(str, Settled):
    """The id of a snapshot: text, which may be awaited as all results may."""

    __slots__ = ()


class Copying(Faces):
    """The part of `EnvClient` that keeps, restores and forks episodes."""

    _core: Core
    _options: LinkOptions
    _forks: weakref.WeakSet[Any]
    forked_at: EpisodePoint | None = None
    """Where the episode stood when this client was forked from another; None if it was not."""

    if TYPE_CHECKING:

        def new_session(self) -> Self:
            """See `EnvClient.new_session`."""

        def _forget_tools(self) -> None: ...

    def snapshot(self) -> SnapshotId:
        """Keep the state of the episode on the server and return its id.

        It is kept until it is dropped, this session ends, or nobody has used it for the server's `snapshot_lease`
        (an hour). How many there may be says the server's `SnapshotLimits`.

        Raises:
            SnapshotUnsupportedError: The environment's state can not be had; the message says why.
            SnapshotLimitError: The server keeps as many as it may.
            NotResetError: There is no episode.
        """
        return self._call(self._snapshot)

    def restore(self, snapshot_id: str) -> EpisodePoint:
        """Put this session into a state that was kept, by it or by another session of the same server process.

        The episode that was kept goes on where it stood. In the session that took the snapshot it is the same
        episode; in another one it gets an id of its own, and the kept one's as its `parent_id`.

        Args:
            snapshot_id: What `snapshot` returned.

        Raises:
            SnapshotNotFoundError: It is gone, or elsewhere. Nothing was changed.
            ExecutionError: The environment's `set_state` raised. There is no episode then: `reset` or restore.
        """
        return self._call(lambda: self._restore(snapshot_id))

    def fork(self, count: int = 1, *, seeds: Sequence[int] | None = None) -> Results[Self]:
        """Return clients of new sessions that go on from where the episode of this one stands.

        They and this one do not influence one another. Close them, or leave it to this client's `close`.

        Args:
            count: How many; each is a session, and counts as one.
            seeds: A seed for the environment's `reseed` in each. Without them all go on with the same random
                numbers, and the same actions have the same results.

        Raises:
            SnapshotUnsupportedError: The environment can not be forked as it is; the message says why.
            SessionCapacityError: The server has no room for so many sessions. None was opened.
            NotResetError: There is no episode.
        """
        return self._call(lambda: self._fork(count, seeds))

    def snapshots(self) -> Results[SnapshotInfo]:
        """Return the snapshots that this session has taken and that are still kept, the oldest first."""
        return self._call(self._snapshots)

    def drop_snapshot(self, snapshot_id: str) -> bool:
        """Drop a snapshot; return whether there was one."""
        return self._call(lambda: self._drop(snapshot_id))

    def capabilities(self) -> Results[str]:
        """Return what can be done with episodes here: `snapshot`, `restore`, `fork`, `reseed`, or none of it."""
        return self._call(self._capabilities)

    def close(self) -> Nothing:
        """See `Faces.close`."""
        if self._forks and self._face is not Face.ASYNC:
            self._start(self._close_forks)
        return super().close()

    # --- the async core --------------------------------------------------------------------------

    async def _capabilities(self) -> Results[str]:
        metadata = await self._core.get("/metadata", EnvironmentMetadata, self._options.headers)
        return Results(metadata.capabilities)

    async def _snapshot(self) -> SnapshotId:
        answer = await _ask(await self._core.live(), "snapshot")
        return SnapshotId(_valid(v2.Snapshotted, answer).data.snapshot)

    async def _restore(self, snapshot_id: str) -> EpisodePoint:
        self._forget_tools()
        answer = await _ask(await self._core.live(again=True), "restore", {"snapshot": str(snapshot_id)})
        return EpisodePoint.model_validate(_valid(v2.Restored, answer).data.model_dump())

    async def _snapshots(self) -> Results[SnapshotInfo]:
        answer = await _ask(await self._core.live(), "snapshots")
        told = [one.model_dump() for one in _valid(v2.SnapshotList, answer).data.snapshots]
        return Results([SnapshotInfo(snapshot_id=one.pop("snapshot"), **one) for one in told])

    async def _drop(self, snapshot_id: str) -> bool:
        answer = await _ask(await self._core.live(), "drop", {"snapshot": str(snapshot_id)})
        return _valid(v2.Dropped, answer).data.found

    async def _fork(self, count: int, seeds: Sequence[int] | None) -> Results[Self]:
        data: dict[str, Any] = {"count": count}
        if seeds is not None:
            data["seeds"] = list(seeds)
        link = await self._core.live()
        answer = await _ask(link, "fork", data)
        assert isinstance(link, SessionLink)
        told = _valid(v2.Forked, answer).data
        point = told.model_dump(exclude={"sessions"})
        twins: Results[Self] = Results()
        for one in told.sessions:
            twin = self.new_session()
            twin._core.link = link.sibling(one.session)
            twin.forked_at = EpisodePoint(episode_id=one.episode_id, **point)
            self._forks.add(twin)
            self._move_in(twin)
            twins.append(twin)
        return twins

    def _move_in(self, twin: Self) -> None:
        """Let a fork live where this client does, and be closed if it is dropped."""
        if self._face is Face.ASYNC and not self._tenancy.active:
            twin._settle_here()
        else:
            twin._settle_with(self)
            twin._tenancy.stay()

    async def _close_forks(self) -> None:
        forks, self._forks = list(self._forks), weakref.WeakSet()
        await asyncio.gather(*(fork._closed() for fork in forks))
        for fork in forks:
            if fork._tenancy.active:
                fork._tenancy.stay()  # it has nothing there any more, and gives it up


# --- requests --------------------------------------------------------------------------------------------


async def _ask(link: Link, verb: str, data: dict[str, Any] | None = None) -> Incoming:
    """Send a request of these, and return its answer.

    Raises:
        SnapshotUnsupportedError: There is no such request over this link.
        RequestError: The server refused it.
    """
    if not isinstance(link, SessionLink) or link.is_old:
        raise SnapshotUnsupportedError(
            "Episodes are kept and forked over version 2 of the protocol only: this client, or its server, speaks "
            "another. Use an EnvClient, and a server of this release"
        )
    packed = None if data is None else link.format.pack(data, f"{verb} request")
    answer = await link.request(verb, packed)
    if answer.kind == "error":
        raise RequestError.from_wire(answer.data.get("data"))
    return answer


def _valid(model: type[ModelT], answer: Incoming) -> ModelT:
    try:
        return model.model_validate(answer.data)
    except ValidationError as error:
        raise InvalidReplyError(f"The server's answer is not what this client expects: {error}") from error
