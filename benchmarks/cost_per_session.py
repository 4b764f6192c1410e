"""Throughput, latency, memory and CPU time as sessions grow from one to thousands."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from benchmarks._figures import Bench, Figure
from benchmarks._held import Held, Paced
from benchmarks._peer import VERSION
from benchmarks._plots import Curve, Line, Plot
from benchmarks._rounds import Contestant, Measured, alternate, peer_of

VECTORS = (1, 8, 64, 512, 4096)
CLIENTS = (1, 8, 64, 256)
PEERS = (1, 8, 64)
HELD = (100, 300, 1000, 3000, 10_000)
ROUNDS, SHARE = 3, 0.4  # of a round's usual length
SETTLE_S, PACED_S = 1.0, 3.0
COMMAND = "python -m benchmarks cost_per_session --plot"

EACH = "a client for each session"
VECTOR, OLD = "one vector client, batched frames", f"release {VERSION}, {EACH}"

Fastest = Mapping[str, Mapping[int, Measured]]
"""By the way of stepping, what each number of sessions reached."""


def run(bench: Bench) -> list[Figure]:
    """Measure how fast sessions can be stepped, and what each costs that steps once a second."""
    bench.say("  as fast as they go")
    fastest = _fastest(bench)
    bench.say("  each once a second")
    held = _held()
    bench.plots += [_throughput(fastest), _cpu(fastest), _latency(held), *_memory(held)]
    figures = [
        Figure(f"{n:,} sessions, {way}", _rate(reached[n]), "/s", note=reached[n].spread())
        for way, reached in fastest.items()
        for n in (min(reached), max(reached))
    ]
    return figures + [_figure(paced) for paced in held]


def _fastest(bench: Bench) -> Fastest:
    ways = {
        VECTOR: {n: Contestant("ours", "non-blocking", face="vector", clients=n) for n in VECTORS},
        EACH: {n: Contestant("ours", "non-blocking", clients=n) for n in CLIENTS},
        OLD: {n: peer_of(Contestant("ours", clients=n)) for n in PEERS},
    }
    everybody = [contestant for way in ways.values() for contestant in way.values()]
    short = replace(bench, rounds=min(bench.rounds, ROUNDS))
    reached = alternate(short, dict.fromkeys(everybody, bench.seconds * SHARE))
    by_way = {way: {n: reached[one] for n, one in by_n.items() if one in reached} for way, by_n in ways.items()}
    return {way: by_n for way, by_n in by_way.items() if by_n}


def _held() -> list[Paced]:
    """Return what sessions cost that step once a second, for growing numbers of them on one server."""
    with Held("non-blocking", max(HELD)) as held:
        paced = []
        for sessions in HELD:
            held.grow(sessions)
            held.pace(SETTLE_S)
            paced.append(held.pace(PACED_S))
        return paced


def _rate(measured: Measured) -> float:
    return statistics.median(measured.rates)


def _figure(paced: Paced) -> Figure:
    kilobytes = "" if paced.kilobytes is None else f", {paced.kilobytes:.1f} kB a session"
    note = f"p50 {paced.p50:.1f}, p90 {paced.p90:.1f}{kilobytes}"
    return Figure(f"{paced.sessions:,} sessions at 1 step/s each: p99", paced.p99, "ms", digits=1, note=note)


# --- plots ---------------------------------------------------------------------------------------------

_ALL_STEPPING = "sessions, all stepping as fast as they can"
_OPEN = "open sessions on one server process"
_TRIVIAL = "One server process and one client process on loopback, an environment that does nothing."
_PACE = "Each session steps once a second, evenly spread, over few connections."


def _throughput(fastest: Fastest) -> Plot:
    return Plot(
        "throughput",
        "Throughput against sessions",
        _ALL_STEPPING,
        "steps per second, all sessions together",
        _curves(fastest, _rate),
        command=COMMAND,
        note=_TRIVIAL,
    )


def _cpu(fastest: Fastest) -> Plot:
    return Plot(
        "cpu",
        "CPU time that a step costs the server",
        _ALL_STEPPING,
        "µs of the server's CPU for a step",
        _curves(fastest, lambda measured: measured.server_us),
        command=COMMAND,
        note=_TRIVIAL,
    )


def _curves(fastest: Fastest, of: Callable[[Measured], float | None]) -> list[Curve]:
    return [
        Curve(way, [(n, y) for n, measured in by_n.items() if (y := of(measured)) is not None], peer=way == OLD)
        for way, by_n in fastest.items()
    ]


def _latency(held: Sequence[Paced]) -> Plot:
    names = {"p50": "median", "p90": "90th percentile", "p99": "99th percentile", "slowest": "slowest"}
    return Plot(
        "latency",
        "Latency of a step against open sessions",
        _OPEN,
        "ms from when a step was due to its result",
        [Curve(name, [(one.sessions, getattr(one, key)) for one in held]) for key, name in names.items()],
        lines=[Line("limit for the 99th percentile: 250 ms", 250)],
        command=COMMAND,
        note=_PACE,
    )


def _memory(held: Sequence[Paced]) -> list[Plot]:
    memory = [(one.sessions, one.kilobytes) for one in held if one.kilobytes is not None]
    if not memory:
        return []
    plot = Plot(
        "memory",
        "Memory that a session costs the server",
        _OPEN,
        "kB: growth of private memory ÷ sessions",
        [Curve("memory of a session", memory)],
        lines=[Line("limit: 40 kB", 40)],
        log_y=False,
        command=COMMAND,
        note=_PACE + " Where there are few, the threads that made them weigh more than they do.",
    )
    return [plot]
