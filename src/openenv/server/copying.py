"""What a session is asked beside playing: to be kept, to be put back, to be forked.

A state can be had in two ways. Where the environment tells it (`get_state`, `set_state`) it is bytes; where it does
not, and runs in a process of its own, it is a fork of that process. Both lead through the same three operations.
While the environment itself is needed the session waits, as for any request; that a fork's environment is made and
put into its state is no longer its concern: it goes on, and the request is answered when all forks are there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from openenv.errors import (
    RequestError,
    SnapshotLimitError,
    SnapshotNotFoundError,
    SnapshotUnsupportedError,
)
from openenv.models import EnvironmentMetadata
from openenv.server.host import Answer, Reply
from openenv.server.requests import Copied, CopyOperation, Done, Request
from openenv.server.snapshots import Point, Snapshot, Snapshots
from openenv.server.state_calls import GetState, Reseed, SetState

if TYPE_CHECKING:
    from openenv.server.manager import SessionManager
    from openenv.server.runner import Runner
    from openenv.server.sessions import Session


@dataclass(eq=False)
class SnapshotOp(CopyOperation):
    """Keep the state under an id."""

    snapshots: Snapshots
    verb: ClassVar[str] = "snapshot"

    def begin(self, session: Session, runner: Runner, request: Request, done: Done) -> None:
        """See `CopyOperation.begin`."""
        try:
            _refuse_what_can_not(runner)
            self.snapshots.reserve()
        except RequestError as refused:
            done(Copied(error=refused))
            return
        point = session.point()
        if runner.copies == "fork":
            label = f"snapshot of {session.id}"
            runner.fork(label, lambda twin, error: self._keep(session, point, done, error, runner=twin))
        else:
            runner.run(GetState(), lambda answer: self._told(session, point, done, answer))

    def _told(self, session: Session, point: Point, done: Done, answer: Answer | RequestError) -> None:
        if isinstance(answer, RequestError):
            self._keep(session, point, done, answer)
        else:
            self._keep(session, point, done, answer.error, kept=answer.data)

    def _keep(
        self,
        session: Session,
        point: Point,
        done: Done,
        error: RequestError | None,
        *,
        kept: bytes | None = None,
        runner: Runner | None = None,
    ) -> None:
        if error is not None:
            self.snapshots.release()
            done(Copied(error=error))
            return
        try:
            snapshot = self.snapshots.keep(session.id, point, kept=kept, runner=runner)
        except SnapshotLimitError as refused:
            self.snapshots.release()
            done(Copied(error=refused))
            return
        if not done(Copied(session.packed("snapshotted", self.snapshots.told(snapshot)))):
            self.snapshots.drop(snapshot.id)


@dataclass(eq=False)
class RestoreOp(CopyOperation):
    """Put the session into a state that was kept, by itself or by another."""

    snapshots: Snapshots
    snapshot_id: str
    verb: ClassVar[str] = "restore"

    def begin(self, session: Session, runner: Runner, request: Request, done: Done) -> None:
        """See `CopyOperation.begin`."""
        try:
            snapshot = self.snapshots.use(self.snapshot_id)
        except SnapshotNotFoundError as unknown:
            done(Copied(error=unknown))
            return
        if snapshot.runner is not None:
            snapshot.runner.fork(session.id, lambda twin, error: self._forked(session, snapshot, done, twin, error))
        else:
            assert snapshot.kept is not None
            runner.run(SetState(snapshot.kept), lambda answer: self._set(session, snapshot, done, answer))

    def _set(self, session: Session, snapshot: Snapshot, done: Done, answer: Answer | RequestError) -> None:
        if isinstance(answer, RequestError):  # the environment may be anywhere: there is no episode in it
            done(Copied(error=answer, point=session.nowhere()))
        else:
            self._restored(session, snapshot, done, None)

    def _forked(
        self, session: Session, snapshot: Snapshot, done: Done, twin: Runner | None, error: RequestError | None
    ) -> None:
        if twin is not None:
            self._restored(session, snapshot, done, twin)
            return
        assert error is not None
        self.snapshots.drop(snapshot.id)
        why = f"The snapshot {snapshot.id!r} is lost: {error.message}"
        done(Copied(error=SnapshotNotFoundError(why)))

    def _restored(self, session: Session, snapshot: Snapshot, done: Done, twin: Runner | None) -> None:
        forked = snapshot.owner != session.id
        episode = snapshot.point.again(time.monotonic(), forked=forked)
        point = Point(episode, snapshot.point.phase)
        reply = session.packed("restored", told(point))
        if not done(Copied(reply, point=point, runner=twin)) and twin is not None:
            twin.stop()


@dataclass(eq=False)
class ForkOp(CopyOperation):
    """Open sessions that go on from where this one stands.

    Attributes:
        count: How many.
        seeds: A seed for each, or none.
    """

    manager: SessionManager
    count: int
    seeds: Sequence[int] = ()
    verb: ClassVar[str] = "fork"

    def begin(self, session: Session, runner: Runner, request: Request, done: Done) -> None:
        """See `CopyOperation.begin`."""
        try:
            _refuse_what_can_not(runner)
            if self.seeds and not runner.reseeds:
                raise SnapshotUnsupportedError(
                    f"{runner.environment_type} can not be given another seed in the middle of an episode: give it "
                    "a method reseed(seed), or fork it without seeds"
                )
            self.manager.take_slots(self.count)
        except RequestError as refused:
            done(Copied(error=refused))
            return
        Forking(self, session, runner, request, done).begin()


class Forking:
    """One fork of a session into several, from being asked for to its answer."""

    def __init__(self, asked: ForkOp, session: Session, runner: Runner, request: Request, done: Done) -> None:
        self._asked = asked
        self._manager = asked.manager
        self._session = session
        self._runner = runner
        self._request = request
        self._done = done
        self._point = session.point()
        self._names = [asked.manager.slots.new_id() for _ in range(asked.count)]
        self._twins: list[Runner] = []
        self._born: list[Session] = []
        self._missing = 0
        self._over = False

    # --- while the session waits -------------------------------------------------------------------------

    def begin(self) -> None:
        """Have the environment tell its state, or its process fork itself as often as there are to be forks."""
        if self._runner.copies == "fork":
            self._runner.fork(self._names[0], self._forked)
        else:
            self._runner.run(GetState(), self._told)

    def _forked(self, twin: Runner | None, error: RequestError | None) -> None:
        if twin is None:
            assert error is not None
            self._copied(None, error)
            return
        self._twins.append(twin)
        if len(self._twins) < self._asked.count:
            self._runner.fork(self._names[len(self._twins)], self._forked)
        else:
            self._copied(None, None)

    def _told(self, answer: Answer | RequestError) -> None:
        if isinstance(answer, RequestError):
            self._copied(None, answer)
        else:
            self._copied(answer.data, answer.error)

    def _copied(self, kept: bytes | None, error: RequestError | None) -> None:
        waited_for = self._session.is_waited_for(self._request)
        if error is None and waited_for:
            self._session.forkings.add(self)
        else:
            for twin in self._twins:
                twin.stop()
            self._manager.give_slots(self._asked.count)
        self._done(Copied(error=error))
        if error is None and waited_for:
            self._bring_up(kept)

    # --- while the session goes on -----------------------------------------------------------------------

    def _bring_up(self, kept: bytes | None) -> None:
        calls: list[list[Any]] = [[] if kept is None else [SetState(kept)] for _ in range(self._asked.count)]
        for each, seed in zip(calls, self._asked.seeds, strict=False):
            each.append(Reseed(seed))
        self._missing = 1 + sum(map(len, calls))
        twins: Sequence[Runner | None] = self._twins or [None] * self._asked.count
        for name, twin in zip(self._names, twins, strict=True):
            self._born.append(self._manager.make_fork(self._session, name, twin, self._child_ended))
        for child, asked in zip(list(self._born), calls, strict=True):
            for call in asked:
                child.submit(Request(call, self._called))
        self._called(None)

    def _called(self, reply: Reply | None) -> None:
        if self._over:
            return
        if reply is not None and reply.error is not None:
            self._fail(reply.error)
            return
        self._missing -= 1
        if self._missing == 0:
            self._finish()

    def _finish(self) -> None:
        self._over = True
        self._session.forkings.discard(self)
        now = time.monotonic()
        for child in self._born:
            child.stand_at(Point(self._point.again(now, forked=True), self._point.phase))
            self._manager.detach(child)  # until the connection that gets the answer holds it
        self._request.answer(Forked.of(self._session, self._born, self._point))

    def _child_ended(self, reason: RequestError) -> None:
        if not self._over:
            self._fail(reason)

    def abandon(self, reason: RequestError) -> None:
        """The session has ended: so do the forks that nobody knows yet."""
        self._fail(reason)

    def _fail(self, error: RequestError) -> None:
        self._over = True
        self._session.forkings.discard(self)
        for child in self._born:
            child.end()
        self._request.answer(Reply.failed(error, self._session.format))


class Forked(Reply):
    """The answer to a fork: the connection that gets it holds the sessions.

    Attributes:
        sessions: The forks.
    """

    sessions: list[Any] = msgspec.field(default_factory=list)  # of Session, which is defined above this module

    @staticmethod
    def of(parent: Session, forks: list[Session], point: Point) -> Forked:
        """Return the answer that tells of these forks."""
        data = {
            "sessions": [
                {"session": one.id, "token": one.token, "episode_id": one.episode.id if one.episode else None}
                for one in forks
            ],
            **told(Point(None, point.phase) if point.episode is None else point),
        }
        data["parent_id"] = data.pop("episode_id")
        packed = parent.packed("forked", data)
        return Forked(packed.kind, packed.data, packed.error, sessions=forks)


def told(point: Point) -> dict[str, Any]:
    """Return what is told of where a session stands."""
    episode = point.episode
    return {
        "episode_id": episode.id if episode is not None else None,
        "parent_id": episode.parent_id if episode is not None else None,
        "seed": episode.seed if episode is not None else None,
        "step_count": episode.steps if episode is not None else 0,
        "done": point.done,
    }


def _refuse_what_can_not(runner: Runner) -> None:
    if not runner.copies:
        raise SnapshotUnsupportedError(
            f"The state of {runner.environment_type} can not be had: it has no get_state() and set_state(), and "
            "does not run in a process of its own on Linux, which could be forked. Give it the two methods, or "
            "serve it with create_app(..., isolation='process')"
        )


def with_capabilities(metadata: EnvironmentMetadata, copies: str, reseeds: bool) -> EnvironmentMetadata:
    """Return metadata that says what can be done with episodes."""
    if not copies:
        return metadata
    can = ["snapshot", "restore", "fork", *(["reseed"] if reseeds else [])]
    return metadata.model_copy(update={"capabilities": [*metadata.capabilities, *can]})
