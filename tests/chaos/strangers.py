"""Clients that do not behave: they do not read, say nothing, or say what nobody should. Others play beside them."""

import contextlib
import itertools
import os
import resource
import socket
import time
from collections.abc import Callable
from typing import Any

from tests.chaos.books import JOURNAL, Book
from tests.chaos.processes import PATIENCE_S, Server, memory
from tests.chaos.raw import Raw, upgrade
from tests.chaos.scene import Scene
from websockets.frames import Opcode

from openenv.protocol.formats import JSON, MSGPACK, Format
from openenv.server.budgets import HANDSHAKE_S

SLOW_READERS, WAVES, STEPS_IN_A_WAVE, STEP_BYTES = 6, 6, 100, 50_000
MEMORY_EACH = 16_000_000
"""Bytes that a server may hold for a client that does not read, of the 30 MB that each has asked for."""

HALF_OPEN = 10_000
BAD_MESSAGES = 400


class Stranger:
    """A session on a raw connection, with the usual book-keeping.

    Args:
        server: Where.
        journal: Where to write.
        name: No other has it.
        format_: The encoding to speak.
        options: Of the connection.
    """

    def __init__(self, server: Server, journal: Book, name: str, format_: Format = JSON, **options: Any) -> None:
        self.raw = Raw(server.url, format_, **options).hello()
        self._journal = journal
        self._name = name
        self._numbers = itertools.count(1)
        opened = self.raw.ask("open")["sessions"][0]
        self.id, self.token = opened["session"], opened["token"]
        self.seq = 0
        self.episode = ""
        number, self.episode = self.begin("reset")
        self.told(self.raw.receive(), number, self.episode)

    def begin(self, verb: str, **data: Any) -> tuple[int, str]:
        """Send the next reset or step; return its id and the name it was given."""
        number, raw, token = self.encoded(verb, **data)
        self.raw.put(raw)
        return number, token

    def encoded(self, verb: str, **data: Any) -> tuple[int, bytes, str]:
        """Return the id, the bytes and the name of the next reset or step."""
        self.seq += 1
        token = f"{self._name}.{next(self._numbers)}"
        fields = {"session": self.id, "seq": self.seq, "data": {"token": token, **data}}
        if verb == "step":
            fields["data"]["episode"] = self.episode
        self._journal.write(
            "ask", verb=verb, token=token, episode=self.episode or None, opening=False, unsure=False
        )
        return (*self.raw.encode(verb, **fields), token)

    def told(self, answer: dict[str, Any], number: int, token: str) -> None:
        """Write down what a reset or step was answered."""
        assert answer["type"] == "observation", answer
        assert answer["id"] == number, f"{answer['id']} came instead of {number}"
        seen = {key: answer["data"]["observation"][key] for key in ("token", "instance", "episode", "count")}
        self._journal.write("told", token=token, seen=seen)

    def step(self, **data: Any) -> None:
        """Take a step."""
        number, token = self.begin("step", **data)
        self.told(self.raw.receive(), number, token)

    def leave(self) -> None:
        """Close the session and the connection."""
        with self.raw:
            assert self.raw.ask("close", session=self.id)["type"] == "closed"


# --- who does not read --------------------------------------------------------------------------------


def slow_readers(scene: Scene) -> None:
    """They ask for hundreds of megabytes and do not read; the server must not keep all that for them."""
    servers = [scene.server("Direct", lease=2.0), scene.server("OnThread", fast=False, lease=2.0)]
    journal = Book(scene.folder, JOURNAL)
    for server in servers:
        scene.cast(server, style="tasks", sessions=3)
        names = [f"slow.{server.environment}.{number}" for number in range(SLOW_READERS)]
        readers = [Stranger(server, journal, name, receive_buffer=4096) for name in names]
        before = memory(server.pid)
        asked: list[list[tuple[int, str]]] = [[] for _ in readers]
        for _ in range(WAVES):
            for reader, steps in zip(readers, asked, strict=True):
                steps += [reader.begin("step", size=STEP_BYTES) for _ in range(STEPS_IN_A_WAVE)]
            time.sleep(0.1)
        scene.tally("reader that does not read", len(readers))
        held = memory(server.pid) - before
        assert held < SLOW_READERS * MEMORY_EACH, f"{held:,} bytes are held for {len(readers)} slow readers"
        for reader, steps in list(zip(readers, asked, strict=True))[::2]:  # the others hang up
            for number, token in steps:
                reader.told(reader.raw.receive(), number, token)
            reader.leave()
        for reader in readers[1::2]:
            reader.raw.socket.close()
    journal.close()


# --- who says nothing ---------------------------------------------------------------------------------


def half_open(scene: Scene) -> None:
    """Thousands of connections on which nothing is said, or half of it; all are dropped, and nobody else is."""
    wanted = min(HALF_OPEN, resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4)
    server = scene.server("AwaitedInBytes")
    scene.cast(server, style="tasks", sessions=4)
    whole = upgrade("openenv.v2")
    says = [b"", whole[: len(whole) // 2], whole]
    began = time.monotonic()
    silent = [_begin(server.port, says[number % len(says)]) for number in range(wanted)]
    scene.tally("half-open connection", len(silent))
    print(f"    {len(silent):,} half-open connections after {time.monotonic() - began:.1f} s", flush=True)
    assert server.get("/health") == {"status": "healthy"}
    ends: list[bytes] = [_drain(one) for one in silent]
    assert not any(ends[0::3]), "whoever says nothing is told nothing"
    assert all(b" 408 " in end for end in ends[1::3]), "half a request is answered"
    assert all(b"BUDGET_EXCEEDED" in end for end in ends[2::3]), "a missing hello is answered"


def _begin(port: int, says: bytes) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    if says:
        one.sendall(says)
    return one


def _drain(one: socket.socket) -> bytes:
    """Read until the server hangs up; that it does is the point."""
    one.settimeout(HANDSHAKE_S + PATIENCE_S)
    said = b""
    with one, contextlib.suppress(ConnectionError):
        while data := one.recv(65536):
            said += data
    return said


# --- who says what nobody should ------------------------------------------------------------------------


def bad_messages(scene: Scene) -> None:
    """Every kind of bad message, in any order: an error each time, and nothing else comes of it."""
    # A bad request over plain HTTP opens the session that all share there.
    limits = {"lease": 2.0, "unattached": 2.0}
    servers = [scene.server("Awaited", **limits), scene.server("OwnProcess", fast=False, **limits)]
    journal = Book(scene.folder, JOURNAL)
    for server in servers:
        scene.cast(server, style="tasks", sessions=3)
        villain = Villain(scene, server, journal)
        for _ in range(BAD_MESSAGES // len(servers)):
            villain.strike()
        villain.leave()
    journal.close()


class Villain:
    """Sends what it should not, on one connection or another, and looks at what comes of it."""

    def __init__(self, scene: Scene, server: Server, journal: Book) -> None:
        self._scene, self._server, self._journal = scene, server, journal
        self._random = scene.random
        self._names = itertools.count(1)
        self._victim = self._stranger()
        self._own = self._stranger()
        self._deeds: dict[str, Callable[[], None]] = {
            "malformed frame": self._malformed,
            "frame of the wrong kind": self._wrong_kind,
            "message of no sense": self._nonsense,
            "oversized message": self._oversized,
            "number out of order": self._out_of_order,
            "duplicate frame": self._duplicate,
            "frame replayed elsewhere": self._replayed,
            "forged token": self._forged,
            "session of another client": self._other_session,
            "frame against the WebSocket protocol": self._against_the_protocol,
            "frame before hello": self._before_hello,
            "bad HTTP": self._bad_http,
        }

    def strike(self) -> None:
        """Do one bad thing; then both sessions go on as if nothing had been."""
        kind = self._random.choice(list(self._deeds))
        self._deeds[kind]()
        self._scene.tally(kind)
        self._own.step()
        self._victim.step()

    def leave(self) -> None:
        self._own.leave()
        self._victim.leave()

    def _stranger(self) -> Stranger:
        format_ = self._random.choice((JSON, MSGPACK))
        name = f"stranger.{self._server.environment}.{next(self._names)}"
        return Stranger(self._server, self._journal, name, format_)

    def _again(self) -> None:
        """The connection is gone, the session is not: resume it on another."""
        own = self._own
        own.raw.socket.close()
        own.raw = Raw(self._server.url, own.raw.format).hello()
        assert own.raw.ask("resume", session=own.id, token=own.token)["seq"] == own.seq

    def _refused(self, answer: dict[str, Any], *codes: str) -> None:
        assert answer["type"] == "error", answer
        assert answer["data"]["code"] in codes, answer
        assert answer["data"]["message"]

    def _malformed(self) -> None:
        raw = self._own.raw
        _, good = raw.encode("step", session=self._own.id, seq=self._own.seq + 1, data={"token": 1})
        bad = self._random.choice((good[: self._random.randrange(len(good))], os.urandom(40), b"", b"[" * 10_000))
        raw.put(bad if raw.format is MSGPACK else bad.decode("latin-1").encode())
        self._refused(raw.receive(), "INVALID_JSON", "UNKNOWN_TYPE", "VALIDATION_ERROR")

    def _wrong_kind(self) -> None:
        raw = self._own.raw
        raw.put(b'{"id":1,"type":"ping"}', Opcode.TEXT if raw.format is MSGPACK else Opcode.BINARY)
        self._refused(raw.receive(), "INVALID_JSON")

    def _nonsense(self) -> None:
        ask: Callable[..., dict[str, Any]] = self._own.raw.ask
        session = self._own.id
        answer = self._random.choice(
            (
                lambda: ask("nonsense"),
                lambda: ask("open", count=10**9),
                lambda: ask("open", count=-1),
                lambda: ask("open", count=4000),
                lambda: ask("ping", more=1),
                lambda: ask("step", session=session, seq=0, data={"token": "", "episode": ""}),
                lambda: ask("step", session=[session], seq=1, data={}),
                lambda: ask("step", session=session, seq=True, data=None),
                lambda: ask("state", session=session + "x"),
                lambda: ask("step_many", items=[]),
                lambda: ask("reset_many", items={}),
                lambda: ask("cancel", target="x"),
                lambda: ask("hello", version="two"),
            )
        )()
        self._refused(answer, "UNKNOWN_TYPE", "VALIDATION_ERROR", "CAPACITY_REACHED", "SESSION_NOT_FOUND")

    def _oversized(self) -> None:
        parts = self._random.choice(([2**20 + 1], [2**19, 2**19, 2**19], [2**23]))
        with contextlib.suppress(ConnectionError):
            for place, size in enumerate(parts):
                opcode = (
                    (Opcode.BINARY if self._own.raw.format is MSGPACK else Opcode.TEXT)
                    if not place
                    else Opcode.CONT
                )
                self._own.raw.put(b" " * size, opcode, fin=place == len(parts) - 1)
        assert self._own.raw.ended() in (1009, None)  # what was not read of it may cost the close frame its way
        self._again()

    def _out_of_order(self) -> None:
        number = self._own.seq + self._random.choice((2, 3, 1000, -1, -2))
        data = {"token": "never", "episode": self._own.episode}
        answer = self._own.raw.ask("step", session=self._own.id, seq=max(number, 1), data=data)
        if number >= 1 and number != self._own.seq:
            self._refused(answer, "SEQUENCE_ERROR")

    def _duplicate(self) -> None:
        number, frame, token = self._own.encoded("step", nap_ms=self._random.choice((0, 5)))
        for _ in range(3):
            self._own.raw.put(frame)
        for _ in range(3):
            self._own.told(self._own.raw.receive(), number, token)

    def _replayed(self) -> None:
        """All that was ever said on a connection, said again on another."""
        said = [
            self._victim.raw.encode("reset", session=self._victim.id, seq=1, data={"token": "again"}),
            self._victim.raw.encode("step", session=self._victim.id, seq=self._victim.seq, data={"token": "again"}),
        ]
        with Raw(self._server.url, self._victim.raw.format).hello() as elsewhere:
            for _, frame in said:
                elsewhere.put(frame)
                self._refused(elsewhere.receive(), "SESSION_NOT_FOUND", "VALIDATION_ERROR")

    def _forged(self) -> None:
        own, victim = self._own, self._victim
        token = self._random.choice(
            ("", own.token, victim.token[:-1], victim.token + "x", victim.token.swapcase(), "\x00", "ü" * 22)
        )
        first = own.raw.ask("resume", session=victim.id, token=token)
        second = own.raw.ask("resume", session="0" * 36, token=token)
        self._refused(first, "SESSION_NOT_FOUND")
        same = second["data"]["message"].replace("0" * 36, victim.id)
        assert first["data"]["message"] == same, "the words tell whether there is such a session"

    def _other_session(self) -> None:
        ask, victim = self._own.raw.ask, self._victim
        data = {"token": "stolen", "episode": victim.episode}
        for verb in ("step", "reset"):
            given = data if verb == "step" else {"token": "stolen"}
            answer = ask(verb, session=victim.id, seq=victim.seq + 1, data=given)
            self._refused(answer, "SESSION_NOT_FOUND")
        self._refused(ask("state", session=victim.id), "SESSION_NOT_FOUND")
        assert ask("close", session=victim.id)["type"] == "closed"  # it was not ours, so nothing was closed
        assert ask("cancel", target=1)["found"] is False
        items = [{"session": victim.id, "seq": victim.seq + 1, "data": data}]
        [item] = ask("step_many", items=items)["items"]
        assert item["error"]["code"] == "SESSION_NOT_FOUND"

    def _against_the_protocol(self) -> None:
        """What no WebSocket may do ends the connection, and only that."""
        put = self._own.raw.put
        self._random.choice(
            (
                lambda: put(b"{}", mask=False),
                lambda: put(b"x" * 200, Opcode.PING),
                lambda: put(b"x", Opcode.PING, fin=False),
                lambda: put(b"x", Opcode.CONT),
                lambda: self._own.raw.socket.sendall(b"\xf3\x80\x00\x00\x00\x00"),
                lambda: self._own.raw.socket.sendall(b"\x82\xff" + b"\xff" * 12),
            )
        )()
        with contextlib.suppress(ConnectionError):
            self._own.raw.socket.shutdown(socket.SHUT_WR)
        assert self._own.raw.ended() in (None, 1002, 1003, 1007, 1009)
        self._again()

    def _before_hello(self) -> None:
        with Raw(self._server.url, self._victim.raw.format) as early:
            victim = self._victim
            for type_, fields in (
                ("open", {}),
                ("resume", {"session": victim.id, "token": victim.token}),
                ("step", {"session": victim.id, "seq": victim.seq + 1, "data": {"token": "early", "episode": ""}}),
                ("step_many", {"items": [{"session": victim.id, "seq": 1, "data": {"token": "", "episode": ""}}]}),
            ):
                self._refused(early.ask(type_, **fields), "VALIDATION_ERROR")

    def _bad_http(self) -> None:
        whole = upgrade("openenv.v2")
        says = self._random.choice(
            (
                os.urandom(200) + b"\r\n\r\n",
                b"GET /ws HTTP/9.9\r\n\r\n",
                b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
                whole.replace(b"Sec-WebSocket-Key: ", b"X: "),
                whole.replace(b"Version: 13", b"Version: 99"),
                whole.replace(b"GET", b"POST"),
                b"POST /step HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\n{{{{{",
            )
        )
        one = _begin(self._server.port, says)
        one.settimeout(PATIENCE_S)
        with one, contextlib.suppress(ConnectionError):
            one.shutdown(socket.SHUT_WR)
            assert b" 101 " not in one.recv(65536)


def raise_the_limit_of_files() -> None:
    """Let this process, and those it starts, open as many files as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
