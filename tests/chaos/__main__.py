"""`python -m tests.chaos`: break everything, and see that nothing is wrong afterwards."""

import argparse
import os
import secrets
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


def main() -> int:
    """Run the suite; return 0 if no rule was violated and there were faults enough."""
    arguments = _arguments()
    print(f"seed {arguments.seed}: make chaos ARGS='--seed {arguments.seed}' does the same again", flush=True)
    chosen = [one for one in SCENARIOS if not arguments.only or arguments.only in one.name]
    raise_the_limit_of_files()
    tally, began = Tally(), time.monotonic()
    failed = False
    with tempfile.TemporaryDirectory(prefix="openenv-chaos-") as root, ThreadPoolExecutor() as reckoning:
        finishing: list[tuple[Scenario, Future[Findings]]] = []
        for number, scenario in enumerate(chosen):
            folder = Path(root) / str(number)
            folder.mkdir()
            scene = Scene(folder, arguments.seed + number, tally)
            start = time.monotonic()
            try:
                scenario.play(scene)
            except Exception:
                failed = True
                traceback.print_exc()
            print(
                f"{scenario.name:<34} {time.monotonic() - start:6.1f} s  {tally.total:>6,} faults so far",
                flush=True,
            )
            # Leases have to run out before what is left over shows; meanwhile the next one is played.
            finishing.append((scenario, reckoning.submit(scene.finish, scenario.allowed)))
        findings = [_finished(scenario, future) for scenario, future in finishing]
    errors: Counter[str] = sum((one.errors for one in findings), Counter())
    print(f"\nerrors that clients were told: {dict(errors)}")
    show_faults(tally.faults, Counter())
    violations = show_violations(findings)
    print(f"\n{time.monotonic() - began:.0f} s on {os.cpu_count()} cores, seed {arguments.seed}")
    if not arguments.only and tally.total < LEAST:
        print(f"FAILED: {tally.total} faults are fewer than {LEAST}")
        failed = True
    return int(failed or violations > 0)


def _finished(scenario: Scenario, future: "Future[Findings]") -> Findings:
    findings = future.result()
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
