"""How a step came out survives the wire, whatever the environment said of it and in whichever encoding."""

import itertools

import pytest

from openenv.models import Action, Observation, State, StepResult
from openenv.outcomes import Cause, Outcome, Status
from openenv.protocol import codec
from openenv.protocol.formats import FORMATS, JSON, Format, unpack

DECLARED = [None, Outcome.policy_fault(), Outcome.infra_fault(Cause.ENVIRONMENT_ERROR, retryable=False)]
FLAGS = list(itertools.product((False, True), repeat=3))


def sent(result: StepResult, format_: Format) -> StepResult:
    """Return what a client makes of a result."""
    client = codec.ClientCodec(Action, Observation, State)
    data = format_.pack_result(result)
    frame = codec.frame("observation", data) if format_ is JSON else {"type": "observation", "data": unpack(data)}
    return client.result(frame)


@pytest.mark.parametrize("format_", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("declared", DECLARED, ids=["nothing", "policy fault", "infra fault"])
@pytest.mark.parametrize("reward", [None, 0, 1.5])
def test_what_an_environment_says_of_a_step_reaches_the_client(
    reward: float | None, declared: Outcome | None, format_: Format
):
    for done, terminated, truncated in FLAGS:
        result = StepResult(
            Observation(), reward, done, terminated=terminated, truncated=truncated, outcome=declared
        )
        if declared is None and result.terminated and not terminated:
            assert result.outcome.status is Status.TERMINATED, "the plain meaning of done"
        seen = sent(result, format_)
        for field in ("reward", "done", "terminated", "truncated", "outcome"):
            assert getattr(seen, field) == getattr(result, field), (field, result)


def test_a_fault_ends_the_episode_and_its_reward_is_not_to_be_trained_on():
    seen = sent(StepResult(Observation(), 0.0, outcome=Outcome.infra_fault()), JSON)
    assert seen.done
    assert seen.outcome.is_fault
    assert not seen.outcome.reward_valid


def test_an_ordinary_step_costs_no_bytes_for_its_outcome():
    for result in (StepResult(Observation(), 1.0), StepResult(Observation(), None, True)):
        assert b"outcome" not in codec.encode_result(result)
        assert b"terminated" not in codec.encode_result(result)
