"""`python -m tests.fuzz --seconds 300`: feed every decoder for its share of the time, from a new seed each time."""

import argparse
import logging
import secrets
import sys
import time
import traceback
from collections import Counter

from hypothesis import HealthCheck, Phase, settings
from tests.fuzz.targets import TARGETS, Target

EXAMPLES = 100
"""Examples of one turn; then the next target has its turn."""


def main() -> int:
    arguments = _arguments()
    logging.disable()
    print(f"seed {arguments.seed}", flush=True)
    tried: Counter[str] = Counter()
    failed: set[str] = set()
    end, turn = time.monotonic() + arguments.seconds, arguments.seed
    while time.monotonic() < end:
        for target in TARGETS:
            if arguments.only in target.name and target.name not in failed and time.monotonic() < end:
                turn += 1
                tried[target.name] += EXAMPLES
                if not _holds(target, turn):
                    failed.add(target.name)
    for name, times in tried.items():
        print(f"{name:<56}{times:>10,}{'  FAILED' if name in failed else ''}")
    print(f"{'all':<56}{tried.total():>10,}")
    return int(bool(failed))


def _holds(target: Target, number: int) -> bool:
    quiet = settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    try:
        target.run(quiet, number)
    except Exception:
        traceback.print_exc()
        return False
    return True


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="for all of it")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31), help="decides what is fed")
    parser.add_argument("--only", default="", help="part of the name of the targets to run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
