"""How soon a session in a process of its own is ready, and reset, once the fork server is warm.

Asked over version 2 of the protocol, on one connection, one session after the other. Ready means that its
environment has been constructed: a question about the state, which waits for that, is answered.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from benchmarks._figures import Bench, Figure, Limit
from benchmarks._processes import HOST
from benchmarks._rounds import Contestant

SESSIONS, WARM_UP = 40, 3
AT_MOST = Limit("most", 10)


def run(bench: Bench) -> list[Figure]:
    """Open sessions and ask each at once for its state, or to reset."""
    with Contestant("ours", "isolated").server(sys.executable) as server:
        server.wait_until_healthy()
        url, protocol = f"ws://{HOST}:{server.port}/ws", Subprotocol("openenv.v2")
        with connect(url, subprotocols=[protocol], compression=None, proxy=None) as socket:
            ask(socket, 1, "hello", version=2)
            taken: dict[str, list[float]] = {"state": [], "reset": []}
            for number in range(WARM_UP + SESSIONS):
                for verb, seconds in taken.items():
                    seconds.append(_open(socket, 10 * (number + 1), verb))
    ready, reset = (sorted(1000 * s for s in seconds[WARM_UP:]) for seconds in taken.values())
    return [*_figures("process worker: session opened and ready", ready), *_figures("... opened and reset", reset)]


def _figures(what: str, milliseconds: list[float]) -> list[Figure]:
    low, high = milliseconds[0], milliseconds[-1]
    p90 = milliseconds[int(0.9 * len(milliseconds))]
    return [
        Figure(
            f"{what}: median",
            statistics.median(milliseconds),
            "ms",
            digits=1,
            limit=AT_MOST,
            low=low,
            high=high,
            note=f"{low:.1f} to {high:.1f}, {SESSIONS} sessions",
        ),
        Figure(f"{what}: p90", p90, "ms", digits=1, limit=AT_MOST),
    ]


def _open(socket: ClientConnection, number: int, verb: str) -> float:
    """Open a session, have it answer a first request, and close it; return the seconds up to that answer."""
    start = time.perf_counter()
    session = ask(socket, number, "open")["sessions"][0]["session"]
    ask(socket, number + 1, verb, session=session, **({"seq": 1} if verb == "reset" else {}))
    seconds = time.perf_counter() - start
    ask(socket, number + 2, "close", session=session)
    return seconds


def ask(socket: ClientConnection, number: int, kind: str, **fields: Any) -> dict[str, Any]:
    """Send a frame and return the answer to it, which must be no error."""
    socket.send(json.dumps({"id": number, "type": kind, **fields}))
    answer: dict[str, Any] = json.loads(socket.recv(30))
    if answer.get("id") != number or answer["type"] == "error":
        raise RuntimeError(f"{kind} was answered with {answer}")
    return answer
