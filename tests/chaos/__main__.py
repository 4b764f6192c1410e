"""`python -m tests.chaos`: break everything, and see that nothing is wrong afterwards."""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.chaos.audit import Findings
from tests.chaos.scenarios import SCENARIOS, Scenario
from tests.chaos.scene import Scene
from tests.chaos.strangers import raise_the_limit_of_files
from tests.chaos.tally import Tally, show_faults, show_violations

LEAST = 1000
"""Faults that a whole run has to inject."""

NOT_COUNTED = ("half-open connection", "client in a crowd")
"""Kinds that are not among those: there are many of them, and each does little."""


def main() -> int:
    """Run the suite; return 0 if no rule was violated and there were faults enough."""
    arguments = _arguments()
    if not Path("/proc/self/fd").exists():
        print("Skipped: without /proc there is no telling what has leaked")
        return 0
    seed, only = arguments.seed, arguments.only
    print(f"seed {seed}: make chaos ARGS='--seed {seed}' draws the same again", flush=True)
    raise_the_limit_of_files()
    tally, began = Tally(), time.monotonic()
    chosen = [one for one in SCENARIOS if only in one.name]
    simulation = _simulate(seed) if only in "simulation" else None
    with tempfile.TemporaryDirectory(prefix="openenv-chaos-") as root, ThreadPoolExecutor() as reckoning:
        played = [_play(one, Path(root) / str(n), seed + n, tally, reckoning) for n, one in enumerate(chosen)]
        findings = [_finished(one, failed, future) for one, failed, future in played]
    for scenario, told in zip(chosen, findings, strict=True):
        if scenario.counts:
            tally(scenario.counts, sum(told.errors[code] for code in scenario.allowed))
    simulated = _simulated(simulation) if simulation is not None else Counter[str]()
    failed = any(failed for _, failed, _ in played) or simulated is None
    codes: Counter[str] = sum((one.errors for one in findings), Counter())
    print(f"\nerrors that clients were told: {dict(codes)}")
    show_faults(tally.faults, simulated or Counter())
    violations = show_violations(findings)
    print(f"\n{time.monotonic() - began:.0f} s on {os.cpu_count()} cores, seed {seed}")
    injected = tally.total - sum(tally.faults[kind] for kind in NOT_COUNTED)
    if not only and injected < LEAST:
        print(f"FAILED: {injected} faults are fewer than {LEAST}")
        return 1
    return int(failed or violations > 0)


Played = tuple[Scenario, bool, "Future[Findings]"]


def _play(scenario: Scenario, folder: Path, seed: int, tally: Tally, reckoning: ThreadPoolExecutor) -> Played:
    folder.mkdir()
    scene, start, before, failed = Scene(folder, seed, tally), time.monotonic(), tally.total, False
    try:
        scenario.play(scene)
    except Exception:
        failed = True
        traceback.print_exc()
    faults = tally.total - before
    print(f"{scenario.name:<34} {time.monotonic() - start:6.1f} s  {faults:>6,} faults", flush=True)
    # Leases have to run out before what is left over shows; meanwhile the next one is played.
    return scenario, failed, reckoning.submit(scene.finish, scenario.allowed)


def _simulate(seed: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.simulation", "--seed", str(seed)], stdout=subprocess.PIPE, text=True
    )


def _simulated(process: "subprocess.Popen[str]") -> Counter[str] | None:
    """Return what happened in the simulation how often; None if it found something wrong."""
    said, _ = process.communicate()
    if process.returncode != 0:
        print(f"FAILED: the simulation; {process.args} shows it")
        return None
    return Counter({f"simulated: {what}": times for what, times in json.loads(said).items()})


def _finished(scenario: Scenario, failed: bool, future: "Future[Findings]") -> Findings:
    findings = future.result()
    if failed:
        print(f"FAILED: {scenario.name}")
    for example in findings.examples:
        print(f"{scenario.name}: {example}")
    return findings


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31), help="draws all faults")
    parser.add_argument("--only", default="", help="part of the name of the scenarios to run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
