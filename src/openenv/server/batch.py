"""The answers to a frame that asks something of many sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from openenv.errors import RequestError, SessionNotFoundError
from openenv.protocol import v2
from openenv.protocol.envelopes import StepItem
from openenv.server.connection import too_large
from openenv.server.host import Operation, Reply, ResetOp, StepOp
from openenv.server.manager import SessionManager
from openenv.server.sessions import Session

if TYPE_CHECKING:
    from openenv.server.multiplex import MultiplexConnection

_AROUND_ITEMS = 128
"""Bytes that the frame around a batch's answers takes at most."""


class Batch:
    """Gathers the answers to the items of one frame; those that are ready in one turn leave together.

    What does not fit into one message leaves in several.
    """

    def __init__(self, connection: MultiplexConnection, number: int, count: int) -> None:
        self._connection = connection
        self._number = number
        self._missing = count
        self._room = connection.max_size - _AROUND_ITEMS
        self._ready: list[bytes] = []
        self._ready_size = 0
        self._begun = False
        self._scheduled = False

    def run(self, session: Session | None, item: Any, operation: Operation) -> None:
        """Ask a session; None is answered with what became of it."""
        if session is None:
            self.answer(
                item.session,
                item.seq,
                Reply.failed(not_held(self._connection.manager, item.session), self._connection.format),
            )
        else:
            request = session.numbered(item.seq, operation, partial(self.answer, item.session, item.seq))
            if request is not None:
                request.progress = partial(self._connection.progressed, session, self._number)

    def step_all(
        self, items: Sequence[StepItem | v2.StepItem[Any]], actions: list[Any], sessions: Mapping[str, Session]
    ) -> None:
        """Take a step without a limit of its own in each session: at once, where nothing stands in the way."""
        done: list[tuple[str, int, bytes]] = []
        for item, action in zip(items, actions, strict=True):
            session = sessions.get(item.session)
            reply = session.step_now(item.seq, action) if session is not None else None
            if reply is None:
                self.run(session, item, StepOp(action))
            elif reply.error is None:
                done.append((item.session, item.seq, reply.data))
            else:
                self.answer(item.session, item.seq, reply)
        packed = self._connection.format.data_items(done)
        size = sum(map(len, packed)) + len(packed)
        if self._ready_size + size <= self._room:
            self._missing -= len(packed)
            self._ready += packed
            self._ready_size += size
        else:
            for (name, seq, _), answer in zip(done, packed, strict=True):
                self._take(name, seq, answer)
        self.begun()

    def refuse(self, session: Session | None, name: str, seq: int, reason: RequestError) -> None:
        """Answer an item that is wrong."""
        answer = partial(self.answer, name, seq)
        if session is None:
            answer(Reply.failed(reason, self._connection.format))
        else:
            session.refuse(seq, reason, answer)

    def answer(self, session: str, seq: int, reply: Reply) -> None:
        """Take an answer."""
        form = self._connection.format
        self._take(session, seq, form.item(session, seq, "data" if reply.error is None else "error", reply.data))

    def _take(self, session: str, seq: int, item: bytes) -> None:
        if len(item) >= self._room:
            form = self._connection.format
            error = too_large(len(item), self._connection.max_size, "answer")
            item = form.item(session, seq, "error", Reply.failed(error, form).data)
        size = self._ready_size + len(item) + 1
        if size > self._room:
            self._flush()
            size = len(item) + 1
        self._missing -= 1
        self._ready.append(item)
        self._ready_size = size
        if self._begun and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def begun(self) -> None:
        """All items are under way; send what is ready."""
        self._begun = True
        if self._ready:
            self._flush()

    def _flush(self) -> None:
        self._scheduled = False
        connection = self._connection
        if self._ready and not connection.is_lost:
            ready, self._ready, self._ready_size = self._ready, [], 0
            connection.send(connection.format.items(self._number, ready, self._missing == 0))


def reset_op(item: v2.ResetItem) -> ResetOp:
    """Return what a reset asks for."""
    return ResetOp(item.data.seed, item.data.episode_id, item.data.model_extra)


def operation_of(item: Any) -> Operation:
    """Return what an item of a batch asks for."""
    return reset_op(item) if isinstance(item, v2.ResetItem) else StepOp(item.data, item.timeout_s)


def not_held(manager: SessionManager, session: str) -> RequestError:
    """Return why a connection does not hold a session."""
    ended = manager.end_of(session)
    if ended is not None:
        return ended
    return SessionNotFoundError(
        f"This connection holds no session {session!r}: it has ended, or was never resumed here"
    )
