"""Throughput of several contestants, side by side: every round each of them runs for a moment, one after the other.

A machine that becomes slower half-way hits all of them alike. Every second round goes through them backwards, so
that none is always the one after the heaviest.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmarks._figures import Bench, BenchmarkError, Figure, Limit
from benchmarks._processes import HOST, Child, Server, environ
from benchmarks._wiretap import Wiretap

_HERE = Path(__file__).parent
_PROGRAMS = _HERE / "trivial"
_WARM_UP_S = 0.5
_START_S = 30.0

Environment = Literal["sync", "non-blocking", "async", "frames", "isolated", "catch", "catch-in-words"]
Face = Literal["async", "blocking", "vector"]
_PEER_CLIENTS = 32  # what batched steps are set against


@dataclass(frozen=True)
class Contestant:
    """A server and a client process of one implementation.

    Attributes:
        side: Whose library both ends use; `socket` is no more than the WebSocket library.
        environment: Which variant of the trivial environment; or catch of `openspiel_env`, with or without text.
        route: `own` is what `openenv serve` runs, `asgi` is uvicorn with its defaults.
        face: How the client is called; `vector` is all sessions by one call.
        clients: Clients in the one client process, each with a session of its own; or sessions of the vector.
        hooks: Whether the client class parses results itself, as classes written for release 0.10.0 do.
        uds: Whether they meet on a Unix domain socket instead of a port.
        workers: Server processes behind the one address; on the own route only.
    """

    side: Literal["ours", "peer", "socket"]
    environment: Environment = "sync"
    route: Literal["own", "asgi"] = "own"
    face: Face = "async"
    clients: int = 1
    hooks: bool = False
    uds: bool = False
    workers: int = 1

    @property
    def name(self) -> str:
        """What to call it in errors."""
        place = f"{self.route} route{' on a Unix socket' if self.uds else ''}, {self.workers} processes"
        return f"{self.side} ({self.environment} environment, {place}, {self.clients} {self.face})"

    def server(self, python: str) -> Server:
        """Return its server, not started yet."""
        if self.side == "socket":
            command = [python, str(self.program("raw.py")), "serve"]
        else:
            command = [python, str(self.program("server.py")), self.environment, self.route]
            command += [str(self.clients), str(self.workers)]
        return Server(f"The server of {self.name}", command, self.environ(), uds=self.uds)

    def client(self, python: str, url: str) -> Child:
        """Return its client, not started yet."""
        if self.side == "socket":
            command = [python, str(self.program("raw.py")), "call", url.rpartition(":")[2]]
        else:
            command = [python, str(self.program("client.py")), url, self.face]
            command += [str(self.clients), str(self.workers), self._style]
        return Child(f"The client of {self.name}", command, self.environ())

    @property
    def _style(self) -> str:
        if self.environment in ("frames", "catch", "catch-in-words"):
            return self.environment
        return "hooks" if self.hooks else "plain"

    @staticmethod
    def program(name: str) -> Path:
        """Return the file of a program that both ends are made of."""
        return _PROGRAMS / name

    def environ(self) -> dict[str, str]:
        """Return the environment variables of both ends."""
        if self.side == "peer":  # nothing of this project may be found by it
            return environ(python_path=str(_HERE / "peer"))
        found = [str(_HERE / "ours"), *(path for path in sys.path if path)]
        return environ(python_path=":".join(found))


def peer_of(contestant: Contestant) -> Contestant:
    """Return what release 0.10.0 has to set against it.

    It knows no `NON_BLOCKING`, no Unix domain sockets and no sessions on several processes; it has no server of its
    own, and its client classes must have the hooks. Nor has it anything like a vector: against that stand 32
    clients that step on their own.
    """
    environment: Environment = "sync" if contestant.environment == "non-blocking" else contestant.environment
    if contestant.face == "vector":
        return Contestant("peer", environment, "asgi", "async", _PEER_CLIENTS, hooks=True)
    return Contestant("peer", environment, "asgi", contestant.face, contestant.clients, hooks=True)


@dataclass
class Measured:
    """What the rounds of one contestant gave.

    Attributes:
        rates: Steps per second, one for each round.
        client_us: CPU microseconds of the client process for a step; None where the system does not tell.
        server_us: The same of the server process.
    """

    rates: list[float]
    client_us: float | None = None
    server_us: float | None = None

    def spread(self) -> str:
        """Return the lowest and highest rate, and the CPU time of a step as client + server."""
        text = f"{min(self.rates):,.0f} to {max(self.rates):,.0f}"
        if self.client_us is None or self.server_us is None:
            return text
        return f"{text}, CPU {self.client_us:.0f} + {self.server_us:.0f} µs"


@dataclass
class _Pair:
    """A running contestant."""

    server: Server
    client: Child
    rates: list[float] = field(default_factory=list)
    steps: int = 0

    def play(self, seconds: float) -> None:
        self.client.tell(str(seconds))
        answer = json.loads(self.client.hear(seconds + _START_S))
        if answer["steps"] == 0:
            raise BenchmarkError(f"{self.client.name} made no step in {seconds:g} s")
        self.steps += answer["steps"]
        self.rates.append(answer["steps"] / answer["seconds"])

    def forget(self) -> None:
        """Count from here on."""
        self.rates, self.steps = [], 0
        self._before = self.client.cpu_seconds(), self.server.cpu_seconds()

    def measured(self) -> Measured:
        after = self.client.cpu_seconds(), self.server.cpu_seconds()
        client, server = (
            None if now is None or then is None else (now - then) / self.steps * 1e6
            for now, then in zip(after, self._before, strict=True)
        )
        return Measured(self.rates, client, server)


def alternate(bench: Bench, seconds: Mapping[Contestant, float]) -> dict[Contestant, Measured]:
    """Return what each contestant reached.

    Contestants of a peer that is not to be had are left out.

    Args:
        bench: How many rounds, and where the peer is.
        seconds: Who plays, and how long in a round.
    """
    pythons: dict[str, str | None] = {"ours": sys.executable, "socket": sys.executable}
    if any(contestant.side == "peer" for contestant in seconds):
        pythons["peer"] = bench.peer.python()
    with ExitStack() as stack:
        pairs = _started(stack, {c: python for c in seconds if (python := pythons[c.side])})
        for pair in pairs.values():
            pair.play(_WARM_UP_S)
            pair.forget()
        for number in range(bench.rounds):
            order = list(pairs.items())
            for contestant, pair in order if number % 2 == 0 else reversed(order):
                pair.play(seconds[contestant])
        return {contestant: pair.measured() for contestant, pair in pairs.items()}


def _started(stack: ExitStack, pythons: dict[Contestant, str]) -> dict[Contestant, _Pair]:
    """Start everybody, servers first and all at once, and wait until all are ready."""
    servers = {c: stack.enter_context(c.server(python)) for c, python in pythons.items()}
    pairs = {}
    for contestant, server in servers.items():
        server.wait_until_healthy(_START_S)
        client = stack.enter_context(contestant.client(pythons[contestant], server.url))
        pairs[contestant] = _Pair(server, client)
    for pair in pairs.values():
        if pair.client.hear(_START_S) != "ready":
            raise pair.client.failed("is not ready")
    return pairs


def compare(
    bench: Bench, lines: Sequence[tuple[str, Contestant, Limit | None]], *, full: Sequence[Contestant] = ()
) -> tuple[list[Figure], dict[Contestant, Measured]]:
    """Measure contestants of ours, each beside its peer.

    Args:
        bench: How to measure.
        lines: What each is called in the report, the contestant, and what it should reach. Those that should
            reach something, and their peers, play full rounds; the others half as long.
        full: More to measure in the same rounds, for the full length.

    Returns:
        A figure for each line, and what everybody reached.
    """
    seconds = dict.fromkeys(full, bench.seconds)
    for _, line, limit in sorted(lines, key=lambda line: line[2] is not None):
        seconds |= dict.fromkeys((line, peer_of(line)), bench.seconds if limit else bench.seconds / 2)
    reached = alternate(bench, seconds)
    figures = [
        rate(what, reached[line], reached.get(peer_of(line)), limit, f"peer{_lacking(line)}")
        for what, line, limit in lines
    ]
    return figures, reached


def _lacking(line: Contestant) -> str:
    """Return what to know of the peer of a line, because it lacks what the line has."""
    if line.uds:
        return " over TCP, having no Unix sockets:"
    return ", in one process:" if line.workers > 1 else ""


def rate(
    what: str, ours: Measured, peers: Measured | None = None, limit: Limit | None = None, peer: str = "peer"
) -> Figure:
    """Return the figure of a throughput: medians, with the spread of the rounds."""
    return Figure(
        what,
        statistics.median(ours.rates),
        "/s",
        peer=statistics.median(peers.rates) if peers else None,
        limit=limit,
        low=min(ours.rates),
        high=max(ours.rates),
        note=ours.spread() + (f"; {peer} {peers.spread()}" if peers else ""),
    )


def counted(contestant: Contestant, python: str, steps_s: float = 1.0) -> float:
    """Return how many bytes the socket carries for a step, in both directions together."""
    with contestant.server(python) as server:
        server.wait_until_healthy(_START_S)
        with Wiretap(server.port) as tap, contestant.client(python, f"http://{HOST}:{tap.port}") as client:
            if client.hear(_START_S) != "ready":
                raise client.failed("is not ready")
            before = tap.sent + tap.received
            client.tell(str(steps_s))
            steps = json.loads(client.hear(steps_s + _START_S))["steps"]
            return (tap.sent + tap.received - before) / steps
