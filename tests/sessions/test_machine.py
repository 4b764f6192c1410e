"""Sessions under whatever a network does, driven by Hypothesis along whatever ways it finds."""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test as run_machine
from tests.sessions.ledger import Awaited, Blocking, Inline
from tests.sessions.machine import SessionMachine

ENVIRONMENTS = [Blocking, Inline, Awaited]
PHASES = [Phase.generate, Phase.shrink]  # explaining would run for minutes


def run(environment: type, pipelined: bool, ways: int, steps: int) -> None:
    machine = type("Machine", (SessionMachine,), {"environment": environment, "pipelined": pipelined})
    run_machine(machine, settings=settings(max_examples=ways, stateful_step_count=steps, phases=PHASES))


@pytest.mark.parametrize("pipelined", [False, True], ids=["one-by-one", "pipelined"])
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_step_is_executed_once_whatever_the_network_does(environment, pipelined):
    run(environment, pipelined, ways=15, steps=40)


@pytest.mark.slow
@pytest.mark.parametrize("pipelined", [False, True], ids=["one-by-one", "pipelined"])
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_step_is_executed_once_along_hundreds_of_ways(environment, pipelined):
    run(environment, pipelined, ways=250, steps=60)
