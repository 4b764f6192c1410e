"""Resident memory of an idle server process with one trivial environment, beside release 0.10.0."""

from __future__ import annotations

import sys

from benchmarks._figures import Bench, Figure
from benchmarks._rounds import Contestant, peer_of

OURS = Contestant("ours")


def run(bench: Bench) -> list[Figure]:
    """Measure a server that has answered `/health` and nothing else."""
    ours = _megabytes(OURS, sys.executable)
    python = bench.peer.python()
    peers = _megabytes(peer_of(OURS), python) if python else None
    return [Figure("memory of an idle server process", ours, "MB", digits=1, peer=peers)]


def _megabytes(contestant: Contestant, python: str) -> float:
    with contestant.server(python) as server:
        server.wait_until_healthy()
        return server.resident_megabytes()
