"""The part of the suite that needs no real time: a day of leases, and sessions driven by Hypothesis.

`python -m tests.chaos.simulation --seed N` runs it in a process of its own, and prints counts as JSON.
"""

import argparse
import json
import logging
import sys
from collections import Counter

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test as run_machine
from tests.chaos.day import Day
from tests.sessions.ledger import Awaited, Blocking, Inline
from tests.sessions.machine import SessionMachine

CREWS = 600
"""Groups of sessions that come in each simulated day."""

WAYS = 60
"""Ways that Hypothesis tries for each kind of environment, pipelined and not."""


def days(number: int) -> Counter[str]:
    """Simulate a day for each kind of environment; return what happened how often."""
    events: Counter[str] = Counter()
    for environment in (Inline, Awaited, Blocking):
        day = Day(environment, CREWS, number)
        day.run()
        events += day.events
    return events


def machines(number: int) -> Counter[str]:
    """Drive sessions along ways that Hypothesis finds; return how many."""
    quiet = settings(
        max_examples=WAYS,
        stateful_step_count=60,
        phases=[Phase.generate, Phase.shrink],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    tried = 0
    for environment in (Inline, Awaited, Blocking):
        for pipelined in (False, True):
            fields = {"environment": environment, "pipelined": pipelined}
            run_machine(seed(number)(type("Machine", (SessionMachine,), fields)), settings=quiet)
            tried += WAYS
    return Counter({"ways of the state machine": tried})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    number = parser.parse_args().seed
    logging.disable()  # environments fail here on purpose
    json.dump(days(number) + machines(number), sys.stdout)


if __name__ == "__main__":
    main()
