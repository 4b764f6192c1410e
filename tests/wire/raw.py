"""A WebSocket that sends what it is told, right or wrong, and shows what comes back."""

import contextlib
import json
from typing import Any, Self

from tests.servers import BOUND_S
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

RESET = '{"type":"reset"}'
STATE = '{"type":"state"}'
CLOSE = '{"type":"close"}'


def step(amount: int = 1, **fields: Any) -> str:
    """Return the frame of a step of the counter."""
    return json.dumps({"type": "step", "data": {"amount": amount, **fields}})


class Raw:
    """One open WebSocket at a server's `/ws`."""

    def __init__(self, url: str, query: str = "") -> None:
        self._connecting = connect(
            f"{url.replace('http', 'ws', 1)}/ws{query}",
            max_size=None,
            compression=None,
            proxy=None,
            open_timeout=BOUND_S,
            close_timeout=BOUND_S,
        )

    def __enter__(self) -> Self:
        self.socket = self._connecting.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._connecting.__exit__(*error)

    def send(self, frame: Any) -> None:
        """Send text or bytes as one frame, or a list of either as the fragments of one message."""
        self.socket.send(frame)

    def send_at_once(self, frames: list[str]) -> None:
        """Send many text frames in one write."""
        self._write([Frame(Opcode.TEXT, frame.encode()) for frame in frames])

    def send_too_much(self, message: str | list[str]) -> None:
        """Send text or its fragments to a server that may close before it has all of it.

        Past the client's own sending, which gives up reading when it fails, and so may miss the close frame.
        """
        parts = [message] if isinstance(message, str) else message
        kinds = [Opcode.TEXT] + [Opcode.CONT] * (len(parts) - 1)
        last = [False] * (len(parts) - 1) + [True]
        with contextlib.suppress(OSError):
            self._write([Frame(k, p.encode(), fin) for k, p, fin in zip(kinds, parts, last, strict=True)])

    def _write(self, frames: list[Frame]) -> None:
        self.socket.socket.sendall(b"".join(frame.serialize(mask=True) for frame in frames))

    def receive(self) -> dict[str, Any]:
        """Return the next frame."""
        answer = self.socket.recv(BOUND_S)
        assert isinstance(answer, str), "version 1 is text"
        frame = json.loads(answer)
        assert frame.keys() == {"type", "data"}
        return frame

    def ask(self, frame: Any) -> dict[str, Any]:
        """Send a frame and return the answer's data, which must not be an error."""
        self.send(frame)
        answer = self.receive()
        assert answer["type"] != "error", answer
        return answer["data"]

    def refused(self, frame: Any) -> dict[str, Any]:
        """Send a frame and return the data of the error that answers it."""
        self.send(frame)
        return self.error()

    def error(self) -> dict[str, Any]:
        """Return the data of the next frame, which must be an error."""
        answer = self.receive()
        assert answer["type"] == "error", answer
        return answer["data"]

    def close_code(self) -> int | None:
        """Wait for the server to close, with nothing more to say; return its close code."""
        try:
            more = self.socket.recv(BOUND_S)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None
        raise AssertionError(f"the server said more: {more!r:.300}")
