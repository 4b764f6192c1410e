"""The frames of version 2 by which sessions are kept, put back and forked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from openenv.protocol import v2
from openenv.server.copying import Forked, ForkOp, RestoreOp, SnapshotOp
from openenv.server.host import Reply
from openenv.server.sessions import Phase

if TYPE_CHECKING:
    from openenv.server.multiplex import MultiplexConnection


def copy_frames(connection: MultiplexConnection) -> dict[str, Callable[[Any], None]]:
    """Return what a connection does with each of these frames."""
    handlers: dict[str, Callable[[MultiplexConnection, Any], None]]
    handlers = {"snapshot": _snapshot, "restore": _restore, "fork": _fork, "snapshots": _list, "drop": _drop}
    return {name: partial(handle, connection) for name, handle in handlers.items()}


def _snapshot(connection: MultiplexConnection, frame: v2.Snapshot) -> None:
    connection.numbered_copy(frame, SnapshotOp(connection.manager.snapshots), connection._answer)


def _restore(connection: MultiplexConnection, frame: v2.Restore) -> None:
    operation = RestoreOp(connection.manager.snapshots, frame.data.snapshot)
    connection.numbered_copy(frame, operation, connection._answer)


def _fork(connection: MultiplexConnection, frame: v2.Fork) -> None:
    operation = ForkOp(connection.manager, frame.data.count, frame.data.seeds or ())
    connection.numbered_copy(frame, operation, partial(_forked, connection))


def _forked(connection: MultiplexConnection, number: int, session: str, seq: int, reply: Reply) -> None:
    """Tell of forks, and hold them: also those that another connection, now lost, was told of before."""
    if isinstance(reply, Forked) and not connection.is_lost:
        for fork in reply.sessions:
            if fork.phase is Phase.CLOSED:
                continue
            if fork.holder is not None and fork.holder is not connection:
                fork.holder.taken(fork)
            connection._hold(fork)
    connection._answer(number, session, seq, reply)


def _list(connection: MultiplexConnection, frame: v2.ListSnapshots) -> None:
    session = connection.session(frame)
    if session is not None:
        snapshots = connection.manager.snapshots
        told = [snapshots.told(one) for one in snapshots.of(session.id)]
        connection._answer(frame.id, session.id, 0, session.packed("snapshots", {"snapshots": told}))


def _drop(connection: MultiplexConnection, frame: v2.Drop) -> None:
    session = connection.session(frame)
    if session is not None:
        found = connection.manager.snapshots.drop(frame.data.snapshot)
        connection._answer(frame.id, session.id, 0, session.packed("dropped", {"found": found}))
