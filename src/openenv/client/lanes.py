"""Many sessions over one connection, or, where the server speaks version 1 only, over one connection each.

A lane answers into a `Gathering`, exactly once for each index it was asked for, whatever happens meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from openenv.client.calls import Call, RemoteSession, late
from openenv.client.gathering import Gathering, together
from openenv.client.link import LinkOptions, WebSocketLink
from openenv.client.mux import Multiplexer, OldServerError
from openenv.client.progress import Listening, Progress
from openenv.errors import (
    InvalidReplyError,
    MessageTooLargeError,
    OpenEnvError,
    RequestError,
    SessionLost,
)
from openenv.protocol.batches import BatchCodec, Result
from openenv.protocol.formats import JSON, Format, Incoming

FRAME_ITEMS = 32
"""Items of one frame. A call of more is split, so that the server works on the first while the next is written."""

Verb = Literal["reset", "step"]


class Lane(Protocol):
    """Some of the sessions of a fleet, by index."""

    @property
    def late_replies(self) -> int:
        """Answers that came after their caller had given up."""

    def is_lost(self, index: int) -> bool:
        """Whether a session is gone, so that only `reopen` helps."""

    def start(self, verb: Verb, asked: Mapping[int, Any], gathering: Gathering) -> None:
        """Send requests now; their answers go to the gathering."""

    async def state(self, index: int) -> bytes | dict[str, Any]:
        """Return the answer to a state request; raises what `Link.request` raises."""

    def abandon(self, index: int) -> None:
        """End a session without waiting for it; it is lost, so that its next reset opens another."""

    async def reopen(self, index: int) -> None:
        """Open another session in place of one that is lost.

        Raises:
            OpenEnvError: It could not be opened.
        """

    async def close(self) -> None:
        """End the sessions and the connection."""


async def open_lanes(
    url: str, options: LinkOptions, codec: BatchCodec, form: Format, sizes: Sequence[int]
) -> list[Lane]:
    """Connect, and open as many sessions on each connection as `sizes` say.

    Raises:
        ConnectionFailedError: Nobody answers at the address.
        SessionCapacityError: The server has not room for all.
    """
    muxes = [Multiplexer(url, options, form) for _ in sizes]
    try:
        await muxes[0].connect()
    except OldServerError as old:
        return [await OldLane.open(url, options, codec, sum(sizes), old)]
    try:
        await together(mux.connect() for mux in muxes[1:])
        opened = await together(mux.open_sessions(size) for mux, size in zip(muxes, sizes, strict=True))
    except BaseException:
        await asyncio.gather(*(mux.close() for mux in muxes), return_exceptions=True)
        raise
    first = 0
    lanes: list[Lane] = []
    for mux, sessions in zip(muxes, opened, strict=True):
        lanes.append(MuxLane(mux, codec, dict(enumerate(sessions, first))))
        first += len(sessions)
    return lanes


class MuxLane:
    """Sessions that share a version 2 connection.

    Args:
        mux: The connection.
        codec: Reads and writes batches.
        sessions: The open sessions.
    """

    def __init__(self, mux: Multiplexer, codec: BatchCodec, sessions: dict[int, RemoteSession]) -> None:
        self._mux = mux
        self._codec = codec
        self._sessions = sessions
        self._restoring = asyncio.Lock()

    @property
    def late_replies(self) -> int:
        """See `Lane.late_replies`."""
        return self._mux.late_replies

    def is_lost(self, index: int) -> bool:
        """See `Lane.is_lost`."""
        return self._sessions[index].lost is not None

    def start(self, verb: Verb, asked: Mapping[int, Any], gathering: Gathering) -> None:
        """See `Lane.start`."""
        entries = list(asked.items())
        for first in range(0, len(entries), FRAME_ITEMS):
            self._send(verb, entries[first : first + FRAME_ITEMS], gathering)

    def _send(self, verb: Verb, entries: Sequence[tuple[int, Any]], gathering: Gathering) -> None:
        pack = self._codec.pack_steps if verb == "step" else self._codec.pack_resets
        packed = pack([payload for _, payload in entries], self._mux.format)
        items: list[_Item] = []
        for (index, _), data in zip(entries, packed, strict=True):
            session = self._sessions[index]
            if session.lost is not None:
                gathering.put(index, RequestError.from_wire(session.lost.to_wire()))
            elif isinstance(data, RequestError):
                gathering.put(index, data)
            else:
                items.append((index, session, data))
        if items:
            self._send_items(verb, items, gathering)

    def _send_items(self, verb: Verb, items: list[_Item], gathering: Gathering) -> None:
        mux = self._mux
        number = mux.number()
        raw = mux.format.batch(number, f"{verb}_many", [(s.id, s.seq + 1, data) for _, s, data in items])
        if len(raw) <= mux.limit:
            for _, session, _ in items:
                session.seq += 1
            mux.send(Batch(raw, verb, items, mux, self._codec, gathering), number)
        elif len(items) > 1:
            middle = len(items) // 2
            self._send_items(verb, items[:middle], gathering)
            self._send_items(verb, items[middle:], gathering)
        else:
            why = f"The {verb} request has {len(raw):,} bytes and the limit is {mux.limit:,}"
            error = f"{why}; send less, or raise max_message_size_mb on both sides"
            gathering.put(items[0][0], MessageTooLargeError(error))

    async def state(self, index: int) -> bytes | dict[str, Any]:
        """See `Lane.state`."""
        return (await self._mux.request(self._sessions[index], "state")).raw

    def abandon(self, index: int) -> None:
        """See `Lane.abandon`."""
        self._mux.let_go([self._sessions[index]])

    async def reopen(self, index: int) -> None:
        """See `Lane.reopen`."""
        try:
            [session] = await self._open_one()
        except SessionLost:  # the connection went while it was asked
            [session] = await self._open_one()
        self._sessions[index] = session

    async def _open_one(self) -> list[RemoteSession]:
        async with self._restoring:
            await self._mux.restored()
        return await self._mux.open_sessions(1)

    async def close(self) -> None:
        """See `Lane.close`."""
        await self._mux.close()


_Item = tuple[int, RemoteSession, bytes]


class Batch(Call):
    """A frame of requests under way. Answers to items it does not wait for any more are dropped and counted."""

    def __init__(
        self,
        raw: bytes,
        verb: Verb,
        items: Sequence[_Item],
        mux: Multiplexer,
        codec: BatchCodec,
        gathering: Gathering,
    ) -> None:
        self.raw = raw
        self.sessions = tuple([session for _, session, _ in items])
        self._verb = verb
        self._waiting = {session.id: index for index, session, _ in items}
        self._mux = mux
        self._codec = codec
        self._gathering = gathering
        self._listening: dict[int, Listening] = {}

    def lose(self, session: RemoteSession, error: RequestError) -> bool:
        """See `Call.lose`: the other sessions of the frame go on."""
        index = self._waiting.pop(session.id, None)
        if index is not None:
            self._gathering.put(index, error)
        return not self._waiting

    def answered(self, answer: Incoming) -> bool:
        """See `Call.answered`."""
        if answer.kind == "error":
            self.failed(RequestError.from_wire(answer.data.get("data")))
            return True
        try:
            results, last = self._codec.read(answer.raw)
        except InvalidReplyError as error:
            self.failed(error)
            return True
        if self._verb == "reset":
            begun = {name for name, result in results if not isinstance(result, RequestError)}
            for session in self.sessions:
                session.begun = session.begun or session.id in begun
        waiting = self._waiting
        wanted = {waiting.pop(name): result for name, result in results if name in waiting}
        self._mux.calls.late_replies += len(results) - len(wanted)
        self._gathering.put_all(wanted)
        for index in self._listening.keys() - waiting.values() if self._listening else ():
            self._listening.pop(index).end()
        if last and waiting:
            self.failed(InvalidReplyError("The server left this item of a batch unanswered"))
        return last

    def told(self, progress: Incoming) -> None:
        """See `Call.told`."""
        callback = self._mux.options.on_progress
        index = self._waiting.get(str(progress.data.get("session")))
        if callback is None or index is None:
            return
        if index not in self._listening:
            self._listening[index] = Listening(callback)
        self._listening[index].hear(Progress.of(progress.data.get("data"), index))

    def failed(self, error: Exception) -> None:
        """See `Call.failed`."""
        for listening in self._listening.values():
            listening.end()
        waiting, self._waiting = self._waiting, {}
        for index in waiting.values():
            self._gathering.put(index, request_error(error))

    def expired(self, seconds: float) -> None:
        """See `Call.expired`."""
        self.failed(late(self._verb, seconds))


class OldLane:
    """Sessions of a version 1 server, each with a connection of its own.

    Args:
        url: Address of the WebSocket.
        options: Budgets and limits.
        codec: Reads and writes the frames.
        links: The open connections.
    """

    def __init__(self, url: str, options: LinkOptions, codec: BatchCodec, links: dict[int, WebSocketLink]) -> None:
        self._url = url
        self._options = options
        self._codec = codec
        self._links = links
        self._late = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @staticmethod
    async def open(url: str, options: LinkOptions, codec: BatchCodec, count: int, old: OldServerError) -> OldLane:
        """Connect as often as there are to be sessions; the first connection is there already."""
        links = {index: WebSocketLink(url, options) for index in range(count)}
        links[0].adopt(old.socket, old.early, old.ended)
        lane = OldLane(url, options, codec, links)
        try:
            await together(link.connect() for link in list(links.values())[1:])
        except BaseException:
            await lane.close()
            raise
        return lane

    @property
    def late_replies(self) -> int:
        """See `Lane.late_replies`."""
        return self._late + sum(link.late_replies for link in self._links.values())

    def is_lost(self, index: int) -> bool:
        """See `Lane.is_lost`."""
        return not self._links[index].connected

    def start(self, verb: Verb, asked: Mapping[int, Any], gathering: Gathering) -> None:
        """See `Lane.start`."""
        for index, payload in asked.items():
            task = asyncio.get_running_loop().create_task(self._ask(verb, index, payload, gathering))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, verb: Verb, index: int, payload: Any, gathering: Gathering) -> None:
        result: Result = SessionLost("The client was closed")
        try:
            pack = self._codec.pack_steps if verb == "step" else self._codec.pack_resets
            [data] = pack([payload], JSON)
            if isinstance(data, RequestError):
                result = data
            else:
                result = self._codec.read_one((await self._links[index].request(verb, data)).raw)
        except OpenEnvError as error:
            result = request_error(error)
        finally:
            gathering.put(index, result)

    async def state(self, index: int) -> bytes | dict[str, Any]:
        """See `Lane.state`."""
        return (await self._links[index].request("state")).raw

    def abandon(self, index: int) -> None:
        """See `Lane.abandon`."""
        task = asyncio.get_running_loop().create_task(self._links[index].close())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def reopen(self, index: int) -> None:
        """See `Lane.reopen`."""
        link = WebSocketLink(self._url, self._options)
        await link.connect()
        self._late += self._links[index].late_replies
        self._links[index] = link

    async def close(self) -> None:
        """See `Lane.close`."""
        await asyncio.gather(*(link.close() for link in self._links.values()), return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def request_error(error: BaseException) -> RequestError:
    """Return what went wrong as the answer to a request."""
    return error if isinstance(error, RequestError) else SessionLost(str(error) or "The client was closed")
