"""Throughput of several contestants, side by side: every round each of them runs for a moment, one after the other.

A machine that becomes slower half-way hits all of them alike. Every second round goes through them backwards, so
that none is always the one after the heaviest.
"""

from __future__ import annotations

import json
import statistics
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks._figures import Bench, BenchmarkError, Figure, Limit
from benchmarks._processes import HOST, Child, Server, environ

_HERE = Path(__file__).parent
_PROGRAMS = _HERE / "trivial"
_WARM_UP_S = 0.5
_START_S = 30.0

Environment = Literal["sync", "non-blocking", "async"]


@dataclass(frozen=True)
class Contestant:
    """A server and a client process of one implementation.

    Attributes:
        side: Whose library both ends use; `socket` is no library at all.
        environment: Which variant of the trivial environment.
        face: How the client is called.
        clients: Clients in the one client process, each with a session of its own.
        hooks: Whether the client class parses results itself, as classes written for release 0.10.0 do.
    """

    side: Literal["ours", "peer", "socket"]
    environment: Environment = "sync"
    face: Literal["async", "blocking"] = "async"
    clients: int = 1
    hooks: bool = False

    @property
    def name(self) -> str:
        """What to call it in errors."""
        return f"{self.side} ({self.environment} environment, {self.clients} {self.face})"

    def server(self, python: str) -> Server:
        """Return its server, not started yet."""
        if self.side == "socket":
            command = [python, str(_PROGRAMS / "echo.py"), "serve"]
        else:
            command = [python, str(_PROGRAMS / "server.py"), self.environment]
        return Server(f"The server of {self.name}", command, self._environ())

    def client(self, python: str, port: int) -> Child:
        """Return its client, not started yet."""
        if self.side == "socket":
            command = [python, str(_PROGRAMS / "echo.py"), "call", str(port)]
        else:
            command = [python, str(_PROGRAMS / "client.py"), f"http://{HOST}:{port}", self.face]
            command += [str(self.clients), "hooks" if self.hooks else "plain"]
        return Child(f"The client of {self.name}", command, self._environ())

    def _environ(self) -> dict[str, str]:
        if self.side == "peer":  # nothing of this project may be found by it
            return environ(python_path=str(_HERE / "peer"))
        found = [str(_HERE / "ours"), *(path for path in sys.path if path)]
        return environ(python_path=":".join(found))


def peer_of(contestant: Contestant) -> Contestant:
    """Return what release 0.10.0 has to set against it: it knows no `NON_BLOCKING`, and hooks are a must there."""
    environment: Environment = "async" if contestant.environment == "async" else "sync"
    return Contestant("peer", environment, contestant.face, contestant.clients, hooks=True)


def alternate(bench: Bench, contestants: list[Contestant], seconds: float) -> dict[Contestant, list[float]]:
    """Return the steps per second of each contestant in each round.

    Contestants of a peer that is not to be had are left out.
    """
    pythons = {"ours": sys.executable, "socket": sys.executable, "peer": None}
    if any(contestant.side == "peer" for contestant in contestants):
        pythons["peer"] = bench.peer.python()
    with ExitStack() as stack:
        servers: dict[Contestant, Server] = {}
        for contestant in contestants:
            if python := pythons[contestant.side]:
                servers[contestant] = stack.enter_context(contestant.server(python))
        clients: dict[Contestant, Child] = {}
        for contestant, server in servers.items():
            server.wait_until_healthy(_START_S)
            python = pythons[contestant.side] or ""
            clients[contestant] = stack.enter_context(contestant.client(python, server.port))
        for client in clients.values():
            if client.hear(_START_S) != "ready":
                raise client.failed("is not ready")
            _round(client, _WARM_UP_S)
        rates: dict[Contestant, list[float]] = {contestant: [] for contestant in clients}
        for number in range(bench.rounds):
            order = list(clients) if number % 2 == 0 else list(reversed(clients))
            for contestant in order:
                rates[contestant].append(_round(clients[contestant], seconds))
        return rates


def _round(client: Child, seconds: float) -> float:
    client.tell(str(seconds))
    answer = json.loads(client.hear(seconds + _START_S))
    if answer["steps"] == 0:
        raise BenchmarkError(f"{client.name} made no step in {seconds:g} s")
    return float(answer["steps"] / answer["seconds"])


def compare(
    bench: Bench, lines: list[tuple[str, Contestant, Limit | None]], seconds: float, *others: Contestant
) -> tuple[list[Figure], dict[Contestant, list[float]]]:
    """Measure contestants of ours, each beside its peer.

    Args:
        bench: How to measure.
        lines: What each is called in the report, the contestant, and what it should reach.
        seconds: Length of a round.
        *others: More to measure in the same rounds.

    Returns:
        A figure for each line, and the rates of everybody.
    """
    wanted = dict.fromkeys([c for _, line, _ in lines for c in (line, peer_of(line))] + list(others))
    rates = alternate(bench, list(wanted), seconds)
    figures = [rate(what, rates[line], rates.get(peer_of(line)), limit) for what, line, limit in lines]
    return figures, rates


def rate(what: str, ours: list[float], peers: list[float] | None = None, limit: Limit | None = None) -> Figure:
    """Return the figure of a throughput: medians, with the spread of the rounds."""
    note = f"{min(ours):,.0f} to {max(ours):,.0f}"
    if peers:
        note += f"; peer {min(peers):,.0f} to {max(peers):,.0f}"
    return Figure(
        what,
        statistics.median(ours),
        "/s",
        peer=statistics.median(peers) if peers else None,
        limit=limit,
        low=min(ours),
        high=max(ours),
        note=note,
    )
