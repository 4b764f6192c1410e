"""The command `python -m benchmarks`."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import time
from pathlib import Path

from rich.console import Console

from benchmarks import _report
from benchmarks._figures import Bench, BenchmarkError, Figure
from benchmarks._peer import VERSION, Peer
from benchmarks._plots import draw

NAMES = (
    "import_client",
    "cli_help",
    "install",
    "env_memory",
    "health_under_load",
    "async_client",
    "blocking_client",
    "clients_32",
    "vector_64",
    "catch_64",
    "vector_adapter",
    "frame_84",
    "worker_ready",
    "provider_start",
    "fork_ready",
    "open_1000",
    "sessions_10k",
    "cost_per_session",
    "docker_start",
    "execution_start",
    "warm_pool",
    "coding_step",
    "atari_pong",
    "tool_calls",
    "miniwob",
    "trl_faults",
    "trl_overlap",
    "trl_share",
)
RESULTS = Path(__file__).with_name("RESULTS.md")
_NARROWEST = 150  # columns that the table needs to have a line for each figure


def main() -> int:
    """Measure, print, and return 0 unless something could not be measured."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that children are stopped then, too
    peer = Peer(options.peer_venv, wanted=not options.no_peer, say=_say)
    bench = Bench(peer, options.rounds, options.seconds, _say)
    where, busy, began = _report.machine(), _report.busy(), time.monotonic()
    groups, failed = _measure(bench, options.names or NAMES)
    _say(f"Measured in {time.monotonic() - began:.0f} s")
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, _NARROWEST)
    _report.show(groups, where, console)
    absent = f"Release {VERSION} was not compared: {peer.absent}" if peer.absent else ""
    for warning in filter(None, (busy, absent)):
        _say(warning)
    for name, error in failed.items():
        _say(f"{name} could not be measured: {error}")
    for plot in bench.plots if options.plot else ():
        try:
            file = draw(plot, where)
        except BenchmarkError as error:
            failed["plots"] = str(error)
            _say(failed["plots"])
            break
        _say(f"Drawn: {file.relative_to(RESULTS.parents[1])}")
    if options.json:
        options.json.write_text(_report.as_json(groups, where))
    if options.write and failed:
        _say("benchmarks/RESULTS.md is left as it was, since not all could be measured")
    elif options.write:
        command = f"python -m benchmarks --write{' --plot' if options.plot else ''}"
        plots = bench.plots if options.plot else ()
        text = _report.markdown(groups, where, command, busy, absent, plots=plots)
        RESULTS.write_text(text)
        _say(f"Written: {RESULTS.parent.name}/{RESULTS.name}")
    return 1 if failed else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _measure(bench: Bench, names: tuple[str, ...]) -> tuple[dict[str, list[Figure]], dict[str, str]]:
    groups: dict[str, list[Figure]] = {}
    failed: dict[str, str] = {}
    for name in names:
        module = importlib.import_module(f"benchmarks.{name}")
        bench.say(f"{name}: {(module.__doc__ or '').partition(chr(10))[0]}")
        try:
            groups[name] = module.run(bench)
        except BenchmarkError as error:
            failed[name] = str(error)
    return groups, failed


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure, and print the figures.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"which; all by default: {', '.join(NAMES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file for programs")
    parser.add_argument("--write", action="store_true", help="write benchmarks/RESULTS.md; for a run of all")
    parser.add_argument("--plot", action="store_true", help="draw benchmarks/plots/*.png; needs matplotlib")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of a comparison (default 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a round (default 1)")
    parser.add_argument(
        "--peer-venv",
        type=Path,
        metavar="PATH",
        help=f"a virtual environment that has openenv {VERSION} (default: benchmarks/.peer-venv, made on demand)",
    )
    parser.add_argument("--no-peer", action="store_true", help=f"do not compare with release {VERSION}")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if options.write and options.names:
        parser.error("--write is for a run of all benchmarks: leave out the names")
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("--rounds and --seconds are more than nothing")
    return options


try:
    sys.exit(main())
except KeyboardInterrupt:
    sys.exit(130)
