"""How a step came out survives the wire, whatever the environment said of it and in whichever encoding."""

import itertools

import pytest

from openenv.errors import InvalidReplyError, RequestError
from openenv.models import Action, Observation, State, StepResult
from openenv.outcomes import Cause, Outcome, Status
from openenv.protocol import client_codec, encoding
from openenv.protocol.formats import FORMATS, JSON, Format, unpack

DECLARED = [None, Outcome.policy_fault(), Outcome.infra_fault(Cause.ENVIRONMENT_ERROR, retryable=False)]
FLAGS = list(itertools.product((False, True), repeat=3))


def sent(result: StepResult, format_: Format) -> StepResult:
    """Return what a client makes of a result."""
    client = client_codec.ClientCodec(Action, Observation, State)
    data = format_.pack_result(result)
    frame = (
        encoding.frame("observation", data) if format_ is JSON else {"type": "observation", "data": unpack(data)}
    )
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
        assert b"outcome" not in encoding.encode_result(result)
        assert b"terminated" not in encoding.encode_result(result)


@pytest.mark.parametrize("format_", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize(
    ("status", "flags"),
    [
        (Status.OK, (False, False, False)),
        (Status.TERMINATED, (True, True, False)),
        (Status.TRUNCATED, (True, False, True)),
        (Status.POLICY_FAULT, (True, False, False)),
        (Status.INFRA_FAULT, (True, False, False)),
    ],
)
def test_done_and_the_like_follow_from_the_outcome(status: Status, flags: tuple[bool, ...], format_: Format):
    result = StepResult(Observation(), 1.0, outcome=Outcome(status))
    for seen in (result, sent(result, format_)):
        assert (seen.done, seen.terminated, seen.truncated) == flags
        assert seen.outcome == Outcome(status)


@pytest.mark.parametrize(
    ("status", "flags"),
    [
        (Status.OK, {"done": True}),
        (Status.OK, {"terminated": True}),
        (Status.OK, {"truncated": True}),
        (Status.TERMINATED, {"truncated": True}),
    ],
)
def test_flags_that_contradict_the_outcome_are_refused(status: Status, flags: dict[str, bool]):
    with pytest.raises(ValueError, match="outcome says"):
        StepResult(Observation(), 1.0, outcome=Outcome(status), **flags)


def test_an_answer_that_contradicts_itself_is_not_an_answer():
    client = client_codec.ClientCodec(Action, Observation, State)
    frame = b'{"type":"observation","data":{"observation":{},"done":true,"outcome":{"status":"ok"}}}'
    with pytest.raises(InvalidReplyError, match="contradicts itself"):
        client.result(frame)


def test_an_episode_that_was_cut_off_may_have_ended_as_well():
    result = StepResult(Observation(), 1.0, terminated=True, outcome=Outcome(Status.TRUNCATED))
    assert (result.done, result.terminated, result.truncated) == (True, True, True)


@pytest.mark.parametrize("code", ["INVALID_JSON", "UNKNOWN_TYPE"])
def test_what_is_no_message_is_a_fault_of_the_program_and_not_of_the_policy(code: str):
    outcome = RequestError.from_wire({"message": "?", "code": code}).outcome
    assert outcome == Outcome.infra_fault(Cause.PROTOCOL, retryable=False)
    assert (
        RequestError.from_wire({"message": "?", "code": "VALIDATION_ERROR"}).outcome.status is Status.POLICY_FAULT
    )
