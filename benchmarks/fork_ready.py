"""How soon a fork of a running episode takes its first step, and what the same costs by playing the episode again.

Asked over version 2 of the protocol, on one connection, one thing after the other, of an environment in a process
of its own that says nothing of its state: so a fork is a fork of that process. Its steps cost nothing; in a game
whose steps take a millisecond, playing a hundred of them again takes a hundred more, and a fork none.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from benchmarks._figures import Bench, Figure
from benchmarks._processes import HOST
from benchmarks._rounds import Contestant
from benchmarks.worker_ready import ask

TIMES, WARM_UP, STEPS, FORKS = 30, 3, 100, 8


def run(bench: Bench) -> list[Figure]:
    """Play an episode of some steps, then fork, keep and restore it, and play it again."""
    with Contestant("ours", "isolated").server(sys.executable) as server:
        server.wait_until_healthy()
        url, protocol = f"ws://{HOST}:{server.port}/ws", Subprotocol("openenv.v2")
        with connect(url, subprotocols=[protocol], compression=None, proxy=None) as socket:
            player = _Player(socket)
            player.begin()
            ways: dict[str, Callable[[], None]] = {
                f"fork of a process after {STEPS} steps, with its first step": player.fork,
                f"... {FORKS} forks, each with its first step": player.fork_many,
                "... snapshot": player.snapshot,
                "... restore, with a step": player.restore,
                f"... instead: a new session, reset and {STEPS + 1} steps": player.play_again,
            }
            return [_figure(what, way) for what, way in ways.items()]


def _figure(what: str, way: Callable[[], None]) -> Figure:
    taken = []
    for _ in range(WARM_UP + TIMES):
        start = time.perf_counter()
        way()
        taken.append(1000 * (time.perf_counter() - start))
    taken = sorted(taken[WARM_UP:])
    low, high = taken[0], taken[-1]
    note = f"{low:.1f} to {high:.1f}, {TIMES} times"
    return Figure(f"{what}: median", statistics.median(taken), "ms", digits=1, low=low, high=high, note=note)


class _Player:
    """One episode, and what is done with it. Sessions are closed without waiting for it."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self._session = ""
        self._seq = 0
        self._kept = ""

    def begin(self) -> None:
        self._ask("hello", version=2)
        self._session = self._open()
        self._seq = STEPS + 1

    def fork(self, count: int = 1) -> None:
        self._seq += 1
        forked = self._ask("fork", session=self._session, seq=self._seq, data={"count": count})
        forks = [one["session"] for one in forked["data"]["sessions"]]
        for fork in forks:
            self._ask("step", session=fork, seq=1, data={"value": 1})
        for fork in forks:
            self._ask("close", session=fork)

    def fork_many(self) -> None:
        self.fork(FORKS)

    def snapshot(self) -> None:
        if self._kept:
            self._ask("drop", session=self._session, data={"snapshot": self._kept})
        self._seq += 1
        self._kept = self._ask("snapshot", session=self._session, seq=self._seq)["data"]["snapshot"]

    def restore(self) -> None:
        self._seq += 2
        data = {"snapshot": self._kept}
        self._ask("restore", session=self._session, seq=self._seq - 1, data=data)
        self._ask("step", session=self._session, seq=self._seq, data={"value": 1})

    def play_again(self) -> None:
        again = self._open()
        self._ask("step", session=again, seq=STEPS + 2, data={"value": 1})
        self._ask("close", session=again)

    def _open(self) -> str:
        session: str = self._ask("open")["sessions"][0]["session"]
        self._ask("reset", session=session, seq=1)
        for number in range(STEPS):
            self._ask("step", session=session, seq=number + 2, data={"value": number})
        return session

    def _ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        self._number += 1
        return ask(self._socket, self._number, kind, **fields)
