"""A WebSocket that speaks version 2, right or wrong, and shows every frame that comes back."""

import json
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, Self

from tests.servers import BOUND_S, Server
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from openenv.protocol.formats import JSON, MSGPACK, Format, unpack
from openenv.server.budgets import Budgets


class Wire:
    """One open WebSocket at a server's `/ws`.

    Args:
        url: The server's address.
        format_: The encoding to speak.
        offer: Subprotocols to offer instead of that of the format.
    """

    def __init__(self, url: str, format_: Format = JSON, offer: list[str] | None = None) -> None:
        self.format = format_
        self._frames: list[dict[str, Any]] = []
        self._opened: list[str] = []
        self._number = 0
        self._connecting = connect(
            f"{url.replace('http', 'ws', 1)}/ws",
            subprotocols=[Subprotocol(name) for name in (offer if offer is not None else [format_.subprotocol])],
            max_size=None,
            max_queue=None,
            compression=None,
            proxy=None,
            open_timeout=BOUND_S,
            close_timeout=BOUND_S,
            ping_interval=None,
        )

    def __enter__(self) -> Self:
        self.socket = self._connecting.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        with suppress(ConnectionClosed):
            for session in self._opened:  # else each would live on for the length of its lease
                self.put({"id": 0, "type": "close", "session": session})
        self._connecting.__exit__(*error)

    # --- frames ----------------------------------------------------------------------------------

    def send(self, type_: str, **fields: Any) -> int:
        """Send a request and return its number."""
        self._number += 1
        self.put({"id": self._number, "type": type_, **fields})
        return self._number

    def put(self, frame: Any) -> None:
        """Send a frame as it is: plain values, or text or bytes that are none."""
        raw = self.format.encode(frame) if isinstance(frame, dict) else frame
        self.socket.send(raw.decode() if isinstance(raw, bytes) and not self.format.binary else raw)

    def receive(self, within_s: float = BOUND_S) -> dict[str, Any]:
        """Return the next frame.

        Raises:
            TimeoutError: None came.
        """
        return self.decoded(self.socket.recv(within_s))

    def decoded(self, raw: str | bytes) -> dict[str, Any]:
        """Return what a frame says."""
        assert isinstance(raw, bytes) is self.format.binary
        frame = unpack(raw) if isinstance(raw, bytes) else json.loads(raw)
        assert isinstance(frame, dict)
        return frame

    def answer(self, number: int | None) -> dict[str, Any]:
        """Return the answer to a request. Frames that come before it are kept for those who ask for them."""
        return self._next(lambda frame: frame.get("id", "") == number)

    def notice(self) -> dict[str, Any]:
        """Return the next frame that answers nothing."""
        return self._next(lambda frame: "id" not in frame)

    def _next(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        for place, frame in enumerate(self._frames):
            if wanted(frame):
                return self._frames.pop(place)
        while not wanted(frame := self.receive()):
            self._frames.append(frame)
        return frame

    def ask(self, type_: str, **fields: Any) -> dict[str, Any]:
        """Send a request and return the answer, which must not be an error."""
        answer = self.answer(self.send(type_, **fields))
        assert answer["type"] != "error", answer
        return answer

    def refused(self, type_: str, **fields: Any) -> dict[str, Any]:
        """Send a request and return the data of the error that answers it."""
        return error_of(self.answer(self.send(type_, **fields)))

    def has_no_more(self) -> bool:
        """Return whether everything that has come was asked for; a ping makes sure that it has come."""
        self.answer(self.send("ping"))
        return not self._frames

    def close_code(self) -> int | None:
        """Wait for the server to close; return its close code."""
        try:
            while True:
                self.socket.recv(BOUND_S)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None

    def drop(self) -> None:
        """Lose the connection without a word."""
        self.socket.close_socket()

    # --- sessions --------------------------------------------------------------------------------

    def open(self, count: int = 1) -> "list[Remote]":
        """Open sessions."""
        opened = self.ask("open", count=count)["sessions"]
        self._opened += [one["session"] for one in opened]
        return [Remote(self, one["session"], one["token"]) for one in opened]

    def play(self) -> "Remote":
        """Open a session and reset it."""
        [session] = self.open()
        session.reset()
        return session


class Remote:
    """A session as its client sees it.

    Attributes:
        id: Its id.
        token: Its token.
        seq: The last number that was used.
    """

    def __init__(self, wire: Wire, session_id: str, token: str) -> None:
        self.wire = wire
        self.id = session_id
        self.token = token
        self.seq = 0

    def send(self, type_: str, data: Any = None, *, seq: int | None = None, **fields: Any) -> int:
        """Send a numbered request, under the next number unless told otherwise; return its id."""
        if seq is None:
            self.seq += 1
        return self.wire.send(type_, session=self.id, seq=seq or self.seq, data=data or {}, **fields)

    def begin(self, what: str = "", *, seq: int | None = None, **fields: Any) -> int:
        """Send a step and return its id."""
        return self.send("step", {"what": what, **fields}, seq=seq)

    def step(self, what: str = "", *, seq: int | None = None, **fields: Any) -> dict[str, Any]:
        """Take a step and return the observation."""
        return self.seen(self.begin(what, seq=seq, **fields))

    def reset(self, **data: Any) -> dict[str, Any]:
        """Reset and return the observation."""
        return self.seen(self.send("reset", data))

    def seen(self, number: int) -> dict[str, Any]:
        """Return the observation that answers a request."""
        answer = self.wire.answer(number)
        assert answer["type"] == "observation", answer
        assert answer["session"] == self.id
        observation = answer["data"]["observation"]
        assert isinstance(observation, dict)
        return observation

    def error(self, number: int) -> dict[str, Any]:
        """Return the data of the error that answers a request."""
        answer = self.wire.answer(number)
        assert answer.get("session") in (self.id, None)
        return error_of(answer)

    def state(self) -> dict[str, Any]:
        """Return the state."""
        data = self.wire.ask("state", session=self.id)["data"]
        assert isinstance(data, dict)
        return data

    def phase(self) -> str:
        """Return where the session stands, by resuming it here."""
        return str(self.resume(self.wire)["phase"])

    def resume(self, wire: Wire) -> dict[str, Any]:
        """Go on over another connection; return what the server says."""
        self.wire = wire
        return wire.ask("resume", session=self.id, token=self.token)


def error_of(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the data of an answer that must be an error."""
    assert answer["type"] == "error", answer
    data = answer["data"]
    assert isinstance(data, dict)
    return data


class Wires:
    """Opens WebSockets for a test, and says hello on them."""

    def __init__(self, stack: ExitStack, format_: Format) -> None:
        self._stack = stack
        self.format = format_

    def raw(self, server: Server, format_: Format | None = None, **options: Any) -> Wire:
        """Open one and say nothing."""
        return self._stack.enter_context(Wire(server.url, format_ or self.format, **options))

    def __call__(self, server: Server, format_: Format | None = None) -> Wire:
        wire = self.raw(server, format_)
        wire.ask("hello", version=2)
        return wire


def pass_time(server: Server, seconds: float) -> None:
    """Let so much time go by for all sessions of a server, and the server look at them.

    So a test of an idle time, a lifetime or a lease has no race with what must succeed before.
    """

    def go_by() -> None:
        for session in server.manager.sessions():
            session.last_activity -= seconds
            session.opened_at -= seconds
            if session.lease_until is not None:
                session.lease_until -= seconds
        server.manager._look()

    server.on_loop(go_by)


def hurry(server: Server, session: Remote, budgets: Budgets | None) -> None:
    """Give a session other budgets from now on; None for those of its server."""

    def give() -> None:
        server.manager.get(session.id)._budgets = budgets or server.manager.budgets

    server.on_loop(give)


def used(server: Server) -> int:
    """Return how many slots of a server are taken."""
    return int(server.on_loop(server.manager.capacity).active_sessions)


def other(format_: Format) -> Format:
    """Return the other encoding."""
    return MSGPACK if format_ is JSON else JSON
