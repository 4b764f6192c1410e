"""Throughput, latency, memory and CPU time as sessions grow from one to thousands."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

from benchmarks._figures import Bench, Figure
from benchmarks._held import Held, Paced
from benchmarks._peer import VERSION
from benchmarks._plots import Curve, Line, Plot
from benchmarks._rounds import Contestant, Measured, alternate, peer_of

VECTORS = (1, 4, 16, 64, 256, 1024, 4096)
CLIENTS = (1, 4, 16, 64, 256)
PEERS = (1, 4, 16, 64)
HELD = (10, 100, 1000, 3000, 10_000)
ROUNDS, SHARE = 3, 0.4  # of a round's usual length
PACED_S = 3.0
COMMAND = "python -m benchmarks cost_per_session --plot"


def run(bench: Bench) -> list[Figure]:
    """Measure how fast sessions can be stepped, and what each costs that steps once a second."""
    bench.say("  as fast as they go")
    fastest = _fastest(bench)
    bench.say("  each once a second")
    held = _held()
    bench.plots += [_throughput(fastest), _latency(held), *_cost(held)]
    figures = [
        Figure(f"{n:,} sessions, {name}", points[n], "/s")
        for name, points in fastest.items()
        for n in (min(points), max(points))
    ]
    return figures + [_figure(paced) for paced in held]


def _fastest(bench: Bench) -> dict[str, dict[int, float]]:
    """Return steps per second by number of sessions, for each way to step them."""
    ways = {
        "one vector client, batched": {
            n: Contestant("ours", "non-blocking", face="vector", clients=n) for n in VECTORS
        },
        "a client for each session": {n: Contestant("ours", "non-blocking", clients=n) for n in CLIENTS},
        f"release {VERSION}, a client for each session": {n: peer_of(Contestant("ours", clients=n)) for n in PEERS},
    }
    everybody = [contestant for way in ways.values() for contestant in way.values()]
    short = replace(bench, rounds=min(bench.rounds, ROUNDS))
    reached = alternate(short, dict.fromkeys(everybody, bench.seconds * SHARE))
    return {name: _medians(way, reached) for name, way in ways.items() if _medians(way, reached)}


def _medians(way: dict[int, Contestant], reached: dict[Contestant, Measured]) -> dict[int, float]:
    return {n: statistics.median(reached[one].rates) for n, one in way.items() if one in reached}


def _held() -> list[Paced]:
    """Return what sessions cost that step once a second, for growing numbers of them on one server."""
    with Held("non-blocking", max(HELD)) as held:
        paced = []
        for sessions in HELD:
            held.grow(sessions)
            held.pace(1.0)  # not counted: settles
            paced.append(held.pace(PACED_S))
        return paced


def _figure(paced: Paced) -> Figure:
    kilobytes = "" if paced.kilobytes is None else f", {paced.kilobytes:.1f} kB a session"
    cpu = "" if paced.server_us is None else f", server CPU {paced.server_us:.0f} µs a step"
    note = f"p50 {paced.p50:.1f}, p90 {paced.p90:.1f}{kilobytes}{cpu}"
    return Figure(f"{paced.sessions:,} sessions at 1 step/s each: p99", paced.p99, "ms", digits=1, note=note)


# --- plots ---------------------------------------------------------------------------------------------

_OPEN_SESSIONS = "open sessions on one server process"
_PACE = "Each session steps once a second, evenly spread, over few connections."


def _throughput(fastest: dict[str, dict[int, float]]) -> Plot:
    curves = [
        Curve(name, list(points.items()), peer=name.startswith("release")) for name, points in fastest.items()
    ]
    return Plot(
        "throughput",
        "Throughput against sessions",
        "sessions, all stepping as fast as they can",
        "steps per second, all together",
        curves,
        command=COMMAND,
        note="One server process and one client process, environment that does nothing.",
    )


def _latency(held: Sequence[Paced]) -> Plot:
    names = {"p50": "median", "p90": "90th percentile", "p99": "99th percentile", "slowest": "slowest"}
    return Plot(
        "latency",
        "Latency of a step against open sessions",
        _OPEN_SESSIONS,
        "milliseconds from when a step was due to its result",
        [Curve(name, [(one.sessions, getattr(one, key)) for one in held]) for key, name in names.items()],
        lines=[Line("limit for the 99th percentile: 250 ms", 250)],
        command=COMMAND,
        note=_PACE,
    )


def _cost(held: Sequence[Paced]) -> list[Plot]:
    memory = [(one.sessions, one.kilobytes) for one in held if one.kilobytes is not None]
    cpu = [(one.sessions, one.server_us) for one in held if one.server_us is not None]
    plots = []
    if memory:
        plots.append(
            Plot(
                "memory",
                "Server memory of a session as sessions grow",
                _OPEN_SESSIONS,
                "kB (growth of private memory ÷ sessions)",
                [Curve("memory of a session", memory)],
                lines=[Line("limit: 40 kB", 40)],
                log_y=False,
                command=COMMAND,
                note=_PACE + " With few sessions the allocator's blocks weigh more than they do.",
            )
        )
    if cpu:
        plots.append(
            Plot(
                "cpu",
                "Server CPU time of a step as sessions grow",
                _OPEN_SESSIONS,
                "µs of CPU for a step",
                [Curve("server CPU of a step", cpu)],
                log_y=True,
                command=COMMAND,
                note=_PACE + " The more there are, the more steps share a frame.",
            )
        )
    return plots
