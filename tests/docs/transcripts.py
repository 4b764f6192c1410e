"""The conversations in a Markdown page, and how they are held with a real server.

A block fenced as `wire` is what goes over a WebSocket, one fenced as `http` what goes over HTTP. `>` is what the
client sends, `<` what the server answers, `--` what happens to the connection; an indented line goes on with the
one before.

The first word after `wire` is the version (`v1`, `v2`, `v2.msgpack`); then a connection is opened. Without a
version the last one is used. Another word is the environment.

A string that is `"<name>"` stands for a value that is not known beforehand: any value the first time, and the same
one in requests and answers afterwards. In a string, `…` stands for any text.
"""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec
from tests.docs.environments import NAMES
from tests.servers import BOUND_S, Host, Server
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

_FENCE = re.compile(r"^```(wire|http)\b ?(.*)\n((?:.|\n)*?)^```$", re.MULTILINE)
_NAME = re.compile(r"<[a-z ]+>")


@dataclass(frozen=True)
class Line:
    """One thing that happens.

    Attributes:
        number: Of the line in its page.
        mark: `>`, `<` or `--`.
        text: What is sent, expected, or happens.
    """

    number: int
    mark: str
    text: str


@dataclass(frozen=True)
class Transcript:
    """One block of a page.

    Attributes:
        kind: `wire` or `http`.
        words: What stands behind that.
        lines: What happens.
    """

    kind: str
    words: tuple[str, ...]
    lines: tuple[Line, ...]


def transcripts(page: Path) -> list[Transcript]:
    """Return the conversations of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for block in _FENCE.finditer(text):
        first = text.count("\n", 0, block.start(3)) + 1
        found.append(Transcript(block[1], tuple(block[2].split()), tuple(_lines(block[3], first))))
    return found


def _lines(text: str, first: int) -> Iterator[Line]:
    joined: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), first):
        if line.startswith("  "):
            joined[-1] = (joined[-1][0], joined[-1][1] + line.strip())
        else:
            joined.append((number, line))
    for number, line in joined:
        mark, _, rest = line.partition(" ")
        assert mark in (">", "<", "--"), f"line {number} is none of a transcript: {line}"
        yield Line(number, mark, rest)


class Player:
    """Holds the conversations of one page, one after the other.

    Attributes:
        said: The frames that went over a WebSocket: the version, who sent it, and the frame.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._servers: dict[str, Server] = {}
        self._server: Server | None = None
        self._stack = ExitStack()
        self._subprotocol: str | None = None
        self._socket: Any = None
        self._known: dict[str, Any] = {}
        self.said: list[tuple[int, str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        for server in self._servers.values():
            server.stop(wait=False)

    def play(self, transcript: Transcript) -> None:
        """Hold a conversation; every line has to come true."""
        name = next((word for word in transcript.words if word in NAMES), "counter")
        if name not in self._servers:
            self._servers[name] = self._host.serve(NAMES[name])
        self._server = self._servers[name]
        if transcript.kind == "http":
            self._known = {}
        version = next((word for word in transcript.words if word.startswith("v")), None)
        if version is not None:
            self._subprotocol = None if version == "v1" else f"openenv.{version}"
            self._known = {}
            self._connect()
        play = self._wire if transcript.kind == "wire" else self._http
        for line in transcript.lines:
            try:
                play(line)
            except AssertionError as error:
                raise AssertionError(f"line {line.number}: {error}") from None

    # --- WebSocket -------------------------------------------------------------------------------------

    def _connect(self) -> None:
        assert self._server is not None
        offered: Any = [self._subprotocol] if self._subprotocol else None
        url = f"{self._server.url.replace('http', 'ws', 1)}/ws"
        opening = connect(url, subprotocols=offered, compression=None, proxy=None, close_timeout=BOUND_S)
        self._socket = self._stack.enter_context(opening)
        assert self._socket.subprotocol == self._subprotocol

    def _wire(self, line: Line) -> None:
        binary = self._subprotocol == "openenv.v2.msgpack"
        if line.mark == ">":
            text = self._filled(line.text)
            self._socket.send(msgspec.msgpack.encode(json.loads(text)) if binary else text)
            if text.endswith("}"):  # else it is an example of what is no frame
                self._note("client", json.loads(text))
        elif line.mark == "<":
            raw = self._received()
            frame = msgspec.msgpack.decode(raw) if binary else json.loads(raw)
            self._note("server", frame)
            self._match(json.loads(line.text), frame, "")
        elif line.text == "the connection is lost":
            self._socket.socket.shutdown(2)
        elif line.text == "a new connection":
            self._connect()
        else:
            closes = re.fullmatch(r"the server closes with (\d+)", line.text)
            assert closes, f"nobody knows how this happens: {line.text}"
            assert self._close_code() == int(closes[1])

    def _note(self, sender: str, frame: Any) -> None:
        self.said.append((2 if self._subprotocol else 1, sender, frame))

    def _received(self) -> Any:
        try:
            return self._socket.recv(BOUND_S)
        except ConnectionClosed as closed:
            raise AssertionError(f"the server closed: {closed}") from None

    def _close_code(self) -> int:
        try:
            more = self._socket.recv(BOUND_S)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006
        raise AssertionError(f"the server said {more!r}")

    # --- HTTP ------------------------------------------------------------------------------------------

    def _http(self, line: Line) -> None:
        assert self._server is not None
        if line.mark == ">":
            method, path, *body = self._filled(line.text).split(" ", 2)
            headers = {"content-type": "application/json"} if body else {}
            content = body[0] if body else None
            with httpx.Client(base_url=self._server.url, trust_env=False, timeout=BOUND_S) as client:
                self._response = client.request(method, path, content=content, headers=headers)
            return
        status, _, text = line.text.partition(" ")
        assert (self._response.status_code, line.mark) == (int(status), "<"), self._response.text
        if text:
            self._match(json.loads(text), self._response.json(), "")
        else:
            assert not self._response.content

    # --- what is not known beforehand ------------------------------------------------------------------

    def _filled(self, text: str) -> str:
        """Put what is known by now into a request."""
        for name, value in self._known.items():
            plain = value if isinstance(value, str) else json.dumps(value)
            text = text.replace(name, plain)
        assert not _NAME.search(text), f"nobody knows {_NAME.findall(text)} yet"
        return text

    def _match(self, expected: Any, got: Any, where: str) -> None:
        if isinstance(expected, str) and _NAME.fullmatch(expected):
            known = self._known.setdefault(expected, got)
            assert known == got, f"{where or 'it'} is {got!r}, and {expected} was {known!r}"
        elif isinstance(expected, dict):
            assert isinstance(got, dict), f"{where or 'it'} is {got!r}"
            assert expected.keys() == got.keys(), f"{where or 'it'} has the keys {list(got)}: {got!r}"
            for key, value in expected.items():
                self._match(value, got[key], f"{where}.{key}")
        elif isinstance(expected, list):
            assert isinstance(got, list), f"{where or 'it'} is {got!r}"
            assert len(expected) == len(got), f"{where or 'it'} has another length: {got!r}"
            for index, value in enumerate(expected):
                self._match(value, got[index], f"{where}[{index}]")
        elif isinstance(expected, str) and "…" in expected:
            pattern = ".*".join(map(re.escape, expected.split("…")))
            assert re.fullmatch(pattern, str(got), re.DOTALL), f"{where} is {got!r}"
        else:
            assert (type(got), got) == (type(expected), expected), f"{where or 'it'} is {got!r}"
