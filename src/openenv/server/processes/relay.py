"""Connections whose sessions are in other processes.

A session never moves. A client that resumes one on a connection to another process keeps that connection; what is
said of this session is passed on over a line to its own process, where it looks like any other connection of
version 2. Frames travel as they are. Only a batch for sessions of several processes is taken apart, and its answers
are marked as one: the last is the last of all.

If a line breaks, the client's connection is closed. The client connects again and resumes, and what was under way
is sent once more under its old number, so exactly-once holds as after any other loss.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from openenv.errors import RequestError, SessionLost
from openenv.protocol import v2
from openenv.protocol.codec_v2 import readable
from openenv.protocol.encoding import encode_error
from openenv.protocol.encoding import frame as v1_frame
from openenv.protocol.formats import JSON, Format
from openenv.server.config import ServerContext
from openenv.server.multiplex import MultiplexConnection
from openenv.server.processes.line import BEGIN, CLOSE, FRAME, Line
from openenv.server.processes.peers import Peers
from openenv.server.sessions import STOPPED

RESTART = 1012
TRY_AGAIN = 1013

_ENDED = (b'{"type":"ended"', b"\x83\xa4type\xa5ended")
"""How the notice that a session has ended begins, in either encoding, as this server writes it."""

Send = Callable[[bytes], None]
Close = Callable[[int], None]


class Relay:
    """One connection of the protocol to another process.

    Args:
        peers: Finds the process.
        number: Which.
        offered: The subprotocols to speak.
        session_id: The version 1 session to attach to.
        received: Called with each frame.
        closed: Called once when it is over, with a close code.
    """

    def __init__(
        self,
        peers: Peers,
        number: int,
        offered: Sequence[str],
        session_id: str | None,
        received: Callable[[bytes], None],
        closed: Callable[[int], None],
    ) -> None:
        self._received = received
        self._closed = closed
        self._code = RESTART
        self._over = False
        self._line = peers.line(number, self._take, self._lost)
        self._line.send(BEGIN, json.dumps({"offered": list(offered), "session_id": session_id}).encode())

    def send(self, raw: bytes) -> None:
        """Pass a frame on."""
        if not self._line.send(FRAME, raw):
            self._code = TRY_AGAIN
            self._line.abort()

    def close(self) -> None:
        """Give it up, without a call of `closed`."""
        self._over = True
        self._line.close()

    def _take(self, kind: bytes, content: bytes) -> None:
        if kind == FRAME:
            self._received(content)
        elif kind == CLOSE:
            self._code = int(content)

    def _lost(self) -> None:
        if not self._over:
            self._over = True
            self._closed(self._code)


class AttachedConnection:
    """A version 1 connection that is attached to a session in another process; the methods are `Connection`'s."""

    def __init__(self, peers: Peers, number: int, session_id: str, send: Send, close: Close) -> None:
        self._send = send
        self._relay = Relay(peers, number, (), session_id, send, close)

    def opened(self) -> None:
        """The other side opens."""

    def received(self, raw: bytes) -> None:
        """Pass a frame on."""
        self._relay.send(raw)

    def refused(self, error: RequestError) -> None:
        """Answer a frame that the transport could not hand over."""
        self._send(v1_frame("error", encode_error(error)))

    def lost(self) -> None:
        """The transport is gone."""
        self._relay.close()


class _Head(msgspec.Struct):
    """What has to be known of a frame to pass it on."""

    id: int | None = None
    type: str = ""
    session: str | None = None


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    id: int
    type: str
    items: list[msgspec.Raw]


class _Item(msgspec.Struct):
    session: str = ""


class _Answer(msgspec.Struct):
    id: int | None = None
    type: str = ""
    last: bool = False
    found: bool = False


class _Forks(msgspec.Struct):
    sessions: list[_Item]


class _Forked(msgspec.Struct):
    data: _Forks


@dataclass
class _Gathering:
    """Answers of several processes to one request.

    Attributes:
        kind: Of the request.
        missing: How many are to come.
        session: Of a resume.
        found: Of a cancel: whether one has found what is to be cancelled.
        relay: Of a fork: where the forks are.
    """

    kind: str
    missing: int = 1
    session: str = ""
    found: bool = False
    relay: Relay | None = None


class SpreadConnection(MultiplexConnection):
    """A version 2 connection whose sessions may be in other processes.

    Args:
        context: This process's server.
        format_: The encoding of frames.
        send: Sends a frame.
        close: Closes the transport.
        peers: The other processes.
    """

    def __init__(self, context: ServerContext, format_: Format, send: Send, close: Close, peers: Peers) -> None:
        super().__init__(
            context.manager, context.codec_v2, format_, self._answered, close, max_size=context.max_message_size
        )
        self._peers = peers
        peers.spread.add(self)
        self._to_client = send
        self._away: dict[str, Relay] = {}
        self._relays: dict[int, Relay] = {}
        self._gathered: dict[int, _Gathering] = {}
        self._told: set[str] = set()  # which of those have ended, as their client has heard
        self._decode = msgspec.json.decode if format_ is JSON else msgspec.msgpack.decode

    # --- called by the transport -----------------------------------------------------------------

    def received(self, raw: bytes) -> None:
        """Answer a frame, or pass it on."""
        if not self._relays or not self._passed_on(raw):
            super().received(raw)

    def lost(self) -> None:
        """See `MultiplexConnection.lost`; the other processes take it as the loss of their connection."""
        super().lost()
        for relay in self._relays.values():
            relay.close()
        self._relays.clear()

    def stop(self) -> None:
        """Tell the client that its sessions in other processes end, because all processes stop."""
        for session in self._away.keys() - self._told:
            self._told.add(session)
            self._notify_end(session, STOPPED)

    # --- requests --------------------------------------------------------------------------------

    def _resume(self, frame: v2.Resume) -> None:
        number = other(self._peers, frame.session)
        if number is None:
            super()._resume(frame)
            return
        relay = self._relays.get(number) or self._open_relay(number)
        self._told.discard(frame.session)
        self._away[frame.session] = relay  # at once: requests may follow before the answer
        self._gathered[frame.id] = _Gathering("resume", session=frame.session)
        relay.send(self.format.encode(frame.model_dump()))

    def _open_relay(self, number: int) -> Relay:
        greeted = False

        def received(raw: bytes) -> None:
            nonlocal greeted
            if not greeted:
                greeted = True  # the first is the answer to our hello
            elif not raw.startswith(_ENDED) or self._first_told(raw):
                self._answered(raw)

        relay = Relay(self._peers, number, (self.format.subprotocol,), None, received, self._broken)
        self._relays[number] = relay
        relay.send(
            self.format.encode({"id": 0, "type": "hello", "version": v2.VERSION, "max_message_size": self.max_size})
        )
        return relay

    def _first_told(self, raw: bytes) -> bool:
        """Take note that a session has ended elsewhere; return whether its client has not been told yet."""
        session = str(self._head(raw).session)
        told = session in self._told
        self._told.add(session)
        return not told

    def _broken(self, code: int) -> None:
        if not self.is_lost:
            self._close(code)

    def _passed_on(self, raw: bytes) -> bool:
        head = self._head(raw)
        relay = self._away.get(head.session) if head.session is not None else None
        if head.type in ("step_many", "reset_many"):
            return self._passed_on_parts(raw)
        if head.type == "cancel" and head.id is not None:
            self._gathered[head.id] = _Gathering("cancel", 1 + len(self._relays))
            for each in self._relays.values():
                each.send(raw)
            return False
        if relay is None or head.type == "resume":
            return False
        if head.type == "close":
            del self._away[str(head.session)]
        if head.type == "fork" and head.id is not None:
            self._gathered[head.id] = _Gathering("fork", relay=relay)
        relay.send(raw)
        return True

    def _head(self, raw: bytes) -> _Head:
        try:
            return self._decode(raw, type=_Head)
        except (msgspec.MsgspecError, RecursionError):
            # Its own process is to say what is wrong with it, if at all one can read whose it is.
            frame = readable(raw, self.format)
            session = frame.get("session")
            return _Head(session=session if isinstance(session, str) else None)

    def _passed_on_parts(self, raw: bytes) -> bool:
        try:
            batch = self._decode(raw, type=_Batch)
            owners = [self._away.get(self._decode(item, type=_Item).session) for item in batch.items]
        except (msgspec.MsgspecError, RecursionError):
            return False
        if not any(owners):
            return False
        parts: dict[Relay | None, list[msgspec.Raw]] = {}
        for owner, item in zip(owners, batch.items, strict=True):
            parts.setdefault(owner, []).append(item)
        if len(parts) > 1:
            self._gathered[batch.id] = _Gathering(batch.type, len(parts))
        for owner, items in parts.items():
            part = self._part(batch, items)
            if owner is None:
                super().received(part)
            else:
                owner.send(part)
        return True

    def _part(self, batch: _Batch, items: list[msgspec.Raw]) -> bytes:
        message = {"id": batch.id, "type": batch.type, "items": items}
        return msgspec.json.encode(message) if self.format is JSON else msgspec.msgpack.encode(message)

    # --- answers ---------------------------------------------------------------------------------

    def _answered(self, raw: bytes) -> None:
        """Send an answer of this or another process."""
        if self._gathered:
            whole = self._put_together(raw)
            if whole is None:
                return
            raw = whole
        if not self.is_lost:
            self._to_client(raw)

    def _put_together(self, raw: bytes) -> bytes | None:
        answer = self._decode(raw, type=_Answer)
        gathering = self._gathered.get(answer.id) if answer.id is not None else None
        if gathering is None or answer.id is None or (answer.type == "observations" and not answer.last):
            return raw
        gathering.missing -= 1
        gathering.found = gathering.found or answer.found
        if gathering.missing == 0:
            del self._gathered[answer.id]
        if gathering.kind == "resume" and answer.type == "error":
            self._away.pop(gathering.session, None)
        if gathering.relay is not None and answer.type == "forked":
            forked = self._decode(raw, type=_Forked)
            self._away |= {fork.session: gathering.relay for fork in forked.data.sessions}
        if gathering.kind == "cancel":
            if gathering.missing:
                return None
            return (
                raw
                if answer.type == "error"
                else self.format.encode({**self._decode(raw), "found": gathering.found})
            )
        return _not_the_last(raw, self.format) if gathering.missing else raw


def _not_the_last(raw: bytes, format_: Format) -> bytes:
    """Return a batch's answer, as `Format.items` writes it, with `last` being false."""
    if format_ is JSON:
        return raw.removesuffix(b"true}") + b"false}"
    return raw[:-1] + b"\xc2"


def other(peers: Peers, session_id: str) -> int | None:
    """Return the number of the process that has a session; None if that is this one, or none that lives."""
    try:
        return peers.slots.elsewhere(session_id)
    except SessionLost:
        return None  # the session manager says so too, to whoever asks it


def spread(peers: Peers) -> Callable[[ServerContext, Format | None, Send, Close, str | None], Any]:
    """Return what makes the connections of a process that is one of several."""

    def make(
        context: ServerContext, chosen: Format | None, send: Send, close: Close, session_id: str | None
    ) -> Any:
        if chosen is not None:
            return SpreadConnection(context, chosen, send, close, peers)
        number = other(peers, session_id) if session_id is not None else None
        if number is not None and session_id is not None:
            return AttachedConnection(peers, number, session_id, send, close)
        return None

    return make


def guest(context: ServerContext, content: bytes, line: Line) -> Any:
    """Return the connection that another process asks for on a line."""
    asked = json.loads(content)

    def close(code: int) -> None:
        line.send(CLOSE, b"%d" % code)
        line.close()

    _, connection = context.connection(
        asked["offered"], lambda raw: _passed_back(line, raw), close, session_id=asked["session_id"]
    )
    return connection


def _passed_back(line: Line, raw: bytes) -> None:
    if not line.send(FRAME, raw):
        line.abort()
