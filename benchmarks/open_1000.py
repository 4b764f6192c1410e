"""How long it takes to open and reset 1,000 sessions on a server that runs."""

from __future__ import annotations

import json
import statistics
import sys

from benchmarks._figures import Bench, Figure, Limit
from benchmarks._processes import HOST, Child
from benchmarks._rounds import Contestant

SESSIONS, CONNECTIONS = 1000, 8
AT_MOST = Limit("most", 1.5)


def run(bench: Bench) -> list[Figure]:
    """Measure an environment that never blocks, and a sync one, whose resets run on threads."""
    return [
        _figure(bench, "NON_BLOCKING", "non-blocking", AT_MOST),
        _figure(bench, "sync environment", "sync", AT_MOST),
    ]


def _figure(bench: Bench, name: str, environment: str, limit: Limit) -> Figure:
    contestant = Contestant("ours", environment, clients=2 * SESSIONS)  # those before are being closed
    with contestant.server(sys.executable) as server:
        server.wait_until_healthy()
        command = [sys.executable, str(contestant.program("opening.py")), f"http://{HOST}:{server.port}"]
        command += [str(SESSIONS), str(CONNECTIONS)]
        with Child("The client", command, contestant.environ()) as client:
            client.hear(30)
            told = [_round(client) for _ in range(bench.rounds + 1)][1:]
    seconds = [round_["seconds"] for round_ in told]
    opened = statistics.median(round_["opened"] for round_ in told)
    return Figure(
        f"1,000 sessions opened and reset, {name}",
        statistics.median(seconds),
        "s",
        digits=2,
        limit=limit,
        low=min(seconds),
        high=max(seconds),
        note=f"{min(seconds):.2f} to {max(seconds):.2f}, of it {opened:.2f} to connect and open; "
        f"{CONNECTIONS} connections",
    )


def _round(client: Child) -> dict[str, float]:
    client.tell("1")
    told: dict[str, float] = json.loads(client.hear(60))
    return told
