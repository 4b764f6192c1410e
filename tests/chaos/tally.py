"""How many faults there were of each kind, and what came of them."""

import threading
from collections import Counter

from tests.chaos.audit import VIOLATIONS, Findings


class Tally:
    """Counts faults; from any thread."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, kind: str, times: int = 1) -> None:
        """Count a fault of a kind."""
        with self._lock:
            self.faults[kind] += times

    @property
    def total(self) -> int:
        """All faults so far."""
        return sum(self.faults.values())


def show_faults(faults: Counter[str], beside: Counter[str]) -> None:
    """Print how many faults of each kind there were; those `beside` are not among the total."""
    print(f"\n{'fault injected':<44}{'times':>9}")
    for kind, times in sorted(faults.items(), key=lambda item: -item[1]):
        print(f"{kind:<44}{times:>9,}")
    print(f"{'all of these':<44}{faults.total():>9,}")
    print()
    for kind, times in sorted(beside.items()):
        print(f"{kind:<44}{times:>9,}")


def show_violations(findings: list[Findings]) -> int:
    """Print how often each rule was violated and return the sum."""
    total: Counter[str] = Counter()
    for one in findings:
        total += one.violations
    told, executed = sum(one.told for one in findings), sum(one.executed for one in findings)
    print(f"\n{f'violation, of {executed:,} executed and {told:,} answered':<44}{'times':>9}")
    for kind in VIOLATIONS:
        print(f"{kind:<44}{total[kind]:>9,}")
    return total.total()
