"""A server that holds many sessions, and a client process that steps each of them once a second."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from benchmarks._processes import HOST, Child
from benchmarks._rounds import Contestant

_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Paced:
    """What stepping many sessions once a second came to; latencies in milliseconds.

    Attributes:
        sessions: How many were open.
        connections: Over how many connections.
        steps: Steps that were taken.
        rate: Steps per second; less than there are sessions if the server could not keep up.
        p50: Half of the steps were answered within this.
        p90: Nine of ten.
        p99: All but one in a hundred.
        slowest: All.
        server_us: CPU microseconds of the server for a step; None where the system does not tell.
        kilobytes: Memory of the server for a session, kB (10^3 bytes); None where the system does not tell.
    """

    sessions: int
    connections: int
    steps: int
    rate: float
    p50: float
    p90: float
    p99: float
    slowest: float
    server_us: float | None
    kilobytes: float | None


class Held:
    """Sessions held open by one client process on one server process, over few connections.

    Args:
        environment: Which variant of the trivial environment.
        most: How many sessions there will be at most.
    """

    def __init__(self, environment: str, most: int) -> None:
        self._contestant = Contestant("ours", environment, clients=most)

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        with ExitStack() as stack:
            self.server = stack.enter_context(self._contestant.server(sys.executable))
            self.server.wait_until_healthy()
            url = f"http://{HOST}:{self.server.port}"
            command = [sys.executable, str(self._contestant.program("paced.py")), url]
            self._client = stack.enter_context(Child("The client", command, self._contestant.environ()))
            if self._client.hear(_PATIENCE_S) != "ready":
                raise self._client.failed("is not ready")
            self.grow(1)  # what the server needs for its first session is not a cost of each
            self._before = self.server.private_bytes()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def grow(self, sessions: int) -> float:
        """Open and reset sessions until there are so many; return the seconds it took."""
        told = self._ask(sessions=sessions)
        self._sessions, self._connections = sessions, int(told["connections"])
        return float(told["seconds"])

    def pace(self, seconds: float) -> Paced:
        """Step each session once a second."""
        cpu = self.server.cpu_seconds()
        told = self._ask(seconds=seconds)
        after = self.server.cpu_seconds()
        now = self.server.private_bytes()
        more = self._sessions - 1
        return Paced(
            self._sessions,
            self._connections,
            told["steps"],
            told["steps"] / told["seconds"],
            told["p50"],
            told["p90"],
            told["p99"],
            told["max"],
            None if cpu is None or after is None else (after - cpu) / told["steps"] * 1e6,
            None if self._before is None or now is None or not more else (now - self._before) / more / 1000,
        )

    def _ask(self, **order: Any) -> dict[str, Any]:
        self._client.tell(json.dumps(order))
        answer: dict[str, Any] = json.loads(self._client.hear(_PATIENCE_S + order.get("seconds", 0)))
        return answer
