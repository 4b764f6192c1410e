"""The two versions of the wire as a check speaks them: frames out, frames in, and nothing clever between."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec

from openenv.protocol.v2 import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK, VERSION
from openenv.validation.checks import CheckFailed, CheckSkipped
from openenv.validation.conformance.expectation import ANY, expect, shown
from openenv.validation.conformance.raw import RawSocket
from openenv.validation.conformance.server import ServerUnderTest

__all__ = [
    "RemoteSession",
    "V1Socket",
    "V2Socket",
    "connect_v2",
    "counts_steps",
    "open_sessions",
    "open_v1",
    "open_v2",
    "reset_v1",
]

FIRST_ID = 1


class V1Socket(RawSocket):
    """A version 1 connection, which is one session."""

    def ask(self, frame: dict[str, Any]) -> dict[str, Any]:
        """Send a frame and return the next one that comes."""
        self.send_json(frame)
        return self.receive_json(f"an answer to {shown(frame)}")


class V2Socket(RawSocket):
    """A version 2 connection.

    Attributes:
        capabilities: What the server said that it can do, in its answer to hello.
    """

    def __init__(self, url: str, subprotocols: Sequence[str], timeout_s: float) -> None:
        super().__init__(url, subprotocols, timeout_s)
        self.capabilities: list[str] = []
        self._ids = itertools.count(FIRST_ID)
        self._early: list[dict[str, Any]] = []

    @property
    def binary(self) -> bool:
        """Whether frames are MessagePack."""
        return self.subprotocol == SUBPROTOCOL_MSGPACK

    def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Send a request and return the answer with its id."""
        return self.answer(self.request(kind, **fields))

    def request(self, kind: str, **fields: Any) -> int:
        """Send a request under a new id, which is returned."""
        frame = {"id": next(self._ids), "type": kind, **fields}
        self.send(self.encoded(frame))
        return int(frame["id"])

    def encoded(self, frame: Any) -> bytes | str:
        """Return a frame as this connection speaks it."""
        return msgspec.msgpack.encode(frame) if self.binary else msgspec.json.encode(frame).decode()

    def answer(self, number: int) -> dict[str, Any]:
        """Return the next frame with an id; others are kept for whoever asks for them."""
        for frame in self._early:
            if frame.get("id") == number:
                self._early.remove(frame)
                return frame
        while True:
            frame = self.frame(f"an answer with id {number}")
            if frame.get("id") == number:
                return frame
            self._early.append(frame)

    def notice(self, kind: str) -> dict[str, Any]:
        """Return the next frame of a type that has no id."""
        for frame in self._early:
            if "id" not in frame and frame.get("type") == kind:
                self._early.remove(frame)
                return frame
        while True:
            frame = self.frame(f"a frame of type {kind}")
            if "id" not in frame and frame.get("type") == kind:
                return frame
            self._early.append(frame)

    def nothing_more(self) -> None:
        """Make sure that every answer has been asked for: ask once more, and get that answer next.

        Raises:
            CheckFailed: There was another frame before it.
        """
        number = self.request("ping")
        while "id" not in (frame := self._early.pop(0) if self._early else self.frame("the answer to a ping")):
            pass  # a notice is nobody's answer
        expect({"id": number, "type": "pong"}, frame, "as the only answer that is left")

    def frame(self, what: str = "a frame") -> dict[str, Any]:
        """Return the next frame, whatever it is; but progress may come of any long request, and is passed over."""
        while (frame := self._next(what)).get("type") == "progress":
            pass
        return frame

    def _next(self, what: str) -> dict[str, Any]:
        if not self.binary:
            return self.receive_json(what)
        message = self.receive(what)
        if isinstance(message, str):
            raise CheckFailed(f"{what} in a binary frame", f"a text frame: {shown(message)}")
        try:
            frame = msgspec.msgpack.decode(message)
        except msgspec.DecodeError as error:
            raise CheckFailed(f"{what} in MessagePack", shown(message)) from error
        if not isinstance(frame, dict):
            raise CheckFailed(f"{what}, a map", shown(frame))
        return frame

    def hello(self) -> dict[str, Any]:
        """Begin, and return the answer."""
        welcome = self.ask("hello", version=VERSION, client="conformance")
        self.capabilities = welcome.get("capabilities", [])
        return welcome

    def needs(self, capability: str) -> None:
        """Go on only with a server that can do something which not all of them can.

        Raises:
            CheckSkipped: It can not.
        """
        if capability not in self.capabilities:
            raise CheckSkipped(f"{capability} is not among the server's capabilities")


class RemoteSession:
    """A session of version 2, with the number that its next request has.

    Attributes:
        socket: The connection that holds it.
        id: Its id.
        token: What it is resumed by.
        seq: The last number used.
        last: The request that used it: its type, and its fields beside the address.
        done: Whether its episode is over.
    """

    def __init__(self, server: ServerUnderTest, socket: V2Socket, opened: dict[str, Any]) -> None:
        self._server = server
        self.socket = socket
        self.id = str(opened["session"])
        self.token = str(opened["token"])
        self.seq = 0
        self.last: tuple[str, dict[str, Any]] = ("", {})
        self.done = True
        server.after(self.end)

    @property
    def address(self) -> dict[str, Any]:
        """The fields that name it and its last number."""
        return {"session": self.id, "seq": self.seq}

    def send(self, verb: str, **fields: Any) -> int:
        """Send a reset or step under the next number, and return its request id."""
        self.seq += 1
        if verb == "step":
            fields = {"data": self._server.action, **fields}
        self.last = verb, fields
        return self.socket.request(verb, **self.address, **fields)

    def ask(self, verb: str, **fields: Any) -> dict[str, Any]:
        """Send one and return its answer."""
        return self._known(self.socket.answer(self.send(verb, **fields)))

    def again(self) -> dict[str, Any]:
        """Send the last request once more, under the same number and a new id, and return its answer."""
        verb, fields = self.last
        return self._known(self.socket.ask(verb, **self.address, **fields))

    def reset(self) -> dict[str, Any]:
        """Start an episode.

        Raises:
            CheckFailed: The answer is not an observation.
        """
        return self._observation(self.ask("reset"), "reset")

    def step(self) -> dict[str, Any]:
        """Take a step with the legal action, likewise."""
        return self._observation(self.ask("step"), "step")

    def go_on(self) -> dict[str, Any]:
        """Take a step, or start over if the episode is over; likewise."""
        return self.reset() if self.done else self.step()

    def state(self) -> dict[str, Any]:
        """Return the state."""
        answer = self.socket.ask("state", session=self.id)
        expect({"type": "state", "session": self.id, "data": dict}, answer, "in answer to a state request")
        return answer["data"]  # type: ignore[no-any-return]

    def end(self) -> None:
        """End it, so that it does not keep its slot for the length of its lease."""
        self.socket.ask("close", session=self.id)

    def steps(self) -> int | None:
        """Return how many steps the state counts; None if it does not."""
        count = self.state().get("step_count")
        return count if isinstance(count, int) else None

    def _observation(self, answer: dict[str, Any], verb: str) -> dict[str, Any]:
        _refuse_execution_error(answer, verb)
        expect({"type": "observation", **self.address, "data": dict}, answer, f"in answer to a {verb}")
        return answer

    def _known(self, answer: dict[str, Any]) -> dict[str, Any]:
        if answer.get("type") == "observation" and isinstance(answer.get("data"), dict):
            self.done = bool(answer["data"].get("done"))
        return answer


def _refuse_execution_error(answer: dict[str, Any], verb: str) -> None:
    """An environment that raises is not the server's fault: an action that it takes is needed."""
    data = answer.get("data")
    if answer.get("type") == "error" and isinstance(data, dict) and data.get("code") == "EXECUTION_ERROR":
        raise CheckSkipped(f"the environment's {verb} failed ({data.get('message')}): give --action one that works")


def counts_steps(server: ServerUnderTest) -> bool:
    """Return whether the environment's state has a step_count that counts steps."""
    socket = open_v1(server)
    reset_v1(server, socket)
    frames = ({"type": "state"}, {"type": "step", "data": server.action}, {"type": "state"})
    answers = [socket.ask(frame).get("data") for frame in frames]
    before, _, after = (data.get("step_count") if isinstance(data, dict) else None for data in answers)
    return isinstance(before, int) and after == before + 1


# --- opening -----------------------------------------------------------------------------------------


def open_v1(server: ServerUnderTest) -> V1Socket:
    """Open a version 1 connection."""
    return server.socket(V1Socket)


def reset_v1(server: ServerUnderTest, socket: V1Socket, sessions: int = 1) -> dict[str, Any]:
    """Start an episode on it and return the data of the first observation."""
    answer = socket.ask({"type": "reset", "data": {}})
    if answer.get("type") == "error":
        server.need_room(answer.get("data"), sessions)
    _refuse_execution_error(answer, "reset")
    expect({"type": "observation", "data": dict}, answer, "in answer to a reset")
    return answer["data"]  # type: ignore[no-any-return]


def connect_v2(server: ServerUnderTest, subprotocol: str = SUBPROTOCOL_JSON) -> V2Socket:
    """Open a version 2 connection that has not begun.

    Raises:
        CheckSkipped: The server does not speak the subprotocol.
    """
    socket = server.socket(V2Socket, subprotocol)
    if socket.subprotocol != subprotocol:
        raise CheckSkipped(f"the server does not speak {subprotocol}")
    return socket


def open_v2(server: ServerUnderTest, subprotocol: str = SUBPROTOCOL_JSON) -> V2Socket:
    """Open a version 2 connection and say hello; skips like `connect_v2`."""
    socket = connect_v2(server, subprotocol)
    expect({"type": "welcome", "version": 2}, socket.hello(), "in answer to hello")
    return socket


def open_sessions(server: ServerUnderTest, socket: V2Socket, count: int = 1) -> list[RemoteSession]:
    """Open sessions.

    Raises:
        CheckSkipped: There is no room for so many.
    """
    answer = socket.ask("open", count=count)
    if answer.get("type") == "error":
        server.need_room(answer.get("data"), count)
    one = {"session": str, "token": str}
    expect({"type": "opened", "sessions": [one] * count, "lease_s": ANY}, answer, f"in answer to open {count}")
    return [RemoteSession(server, socket, opened) for opened in answer["sessions"]]
