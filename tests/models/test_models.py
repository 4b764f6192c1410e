"""What the models take, keep and refuse."""

import copy
import pickle

import numpy as np
import pytest
from pydantic import ValidationError
from tests.toys import Add, Count

import openenv.models
from openenv.models import Action, EnvironmentMetadata, Observation, State, StepResult, unchecked
from openenv.protocol import client_codec, encoding

REWARDS = [
    (None, None),
    (1.5, 1.5),
    (2, 2),
    (True, True),
    (np.float32(0.5), 0.5),
    (np.float64(0.5), 0.5),
    (np.int64(3), 3),
    (np.bool_(False), False),
    (np.array(1.5), 1.5),
    (np.array([2.0]), 2.0),
]


@pytest.mark.parametrize(("given", "kept"), REWARDS, ids=lambda value: f"{type(value).__name__} {value}")
def test_a_reward_is_a_python_number_of_the_kind_that_was_given(given, kept):
    for holder in (Observation(reward=given), StepResult(Observation(), given)):
        assert holder.reward == kept
        assert type(holder.reward) is type(kept)
    observation = Observation()
    observation.reward = given
    assert type(observation.reward) is type(kept)


@pytest.mark.parametrize("reward", ["much", [1.0], print, np.array([1.0, 2.0]), 1j], ids=str)
def test_what_is_no_number_is_no_reward(reward):
    with pytest.raises(ValidationError):
        Observation(reward=reward)


@pytest.mark.parametrize(("reward", "text"), [(None, b"null"), (1, b"1"), (True, b"true"), (3.0, b"3.0")])
def test_a_reward_travels_as_the_environment_gave_it(reward, text):
    encoded = encoding.encode_result(StepResult(Observation(), reward))
    assert b'"reward":' + text in encoded
    received = client_codec.ClientCodec(Action, Observation, State).result(encoding.frame("observation", encoded))
    assert received.reward == reward
    assert type(received.reward) is type(reward)


@pytest.mark.parametrize("cls", [Action, Observation])
def test_unknown_fields_are_refused_and_assignments_validated(cls):
    with pytest.raises(ValidationError, match="unknown"):
        cls(unknown=1)
    model = cls()
    with pytest.raises(ValidationError):
        model.metadata = "no dictionary"
    with pytest.raises((ValidationError, ValueError)):
        model.unknown = 1


def test_a_state_keeps_what_it_does_not_know():
    state = State(episode_id="e", secret="s", table=[1])
    state.later = 2
    assert (state.secret, state.table, state.later) == ("s", [1], 2)
    with pytest.raises(ValidationError):
        state.step_count = -1
    assert State(x=1) != State(x=2)


def test_metadata_is_of_each_instance():
    first = Observation()
    first.metadata["x"] = 1
    assert Observation().metadata == {}


@pytest.mark.parametrize(
    ("flags", "done", "terminated", "truncated"),
    [
        ({}, False, False, False),
        ({"done": True}, True, True, False),
        ({"terminated": True}, True, True, False),
        ({"truncated": True}, True, False, True),
        ({"done": True, "truncated": True}, True, False, True),
        ({"terminated": True, "truncated": True}, True, True, True),
    ],
    ids=str,
)
def test_done_means_terminated_or_truncated(flags, done, terminated, truncated):
    result = StepResult(Observation(), **flags)
    assert (result.done, result.terminated, result.truncated) == (done, terminated, truncated)
    encoded = encoding.frame("observation", encoding.encode_result(result))
    received = client_codec.ClientCodec(Action, Observation, State).result(encoded)
    assert (received.done, received.truncated) == (done, truncated)


def test_a_step_result_takes_its_first_three_fields_by_position():
    result = StepResult(Count(total=1), 0.5, True)
    assert (result.observation.total, result.reward, result.done) == (1, 0.5, True)
    with pytest.raises(TypeError):
        StepResult(Count(total=1), 0.5, True, True)


def test_a_step_result_has_the_metadata_of_its_observation_unless_it_has_its_own():
    observation = Observation(metadata={"of": "observation"})
    assert StepResult(observation).metadata == {"of": "observation"}
    assert StepResult(observation, metadata={"own": 1}).metadata == {"own": 1}
    assert StepResult({"plain": "dictionary"}).metadata == {}


@pytest.mark.parametrize(
    "result",
    [StepResult(Count(total=1), 1.0), State(episode_id="e"), EnvironmentMetadata(name="n")],
    ids=lambda value: type(value).__name__,
)
async def test_what_a_client_returns_can_be_awaited_and_gives_itself(result):
    assert await result is result


def test_models_can_be_copied_and_pickled_as_trainers_do():
    for model in (
        Add(amount=2, metadata={"x": [b"\xff"]}),
        Count(total=1, extra=np.arange(3), reward=1.0),
        State(episode_id="e", more=1),
        StepResult(Count(total=1), 1.0, info={"x": 1}),
    ):
        assert copy.deepcopy(model) == model
        assert pickle.loads(pickle.dumps(model)) == model
        assert model.model_copy() == model


def test_models_of_different_classes_are_different():
    class Other(Count):
        pass

    assert Count(total=1) != Other(total=1)
    assert Count(total=1) != {"total": 1}
    with pytest.raises(TypeError, match="unhashable"):
        hash(Count(total=1))


def test_an_observation_of_right_values_can_be_built_unchecked():
    made, usual = unchecked(Count, total=3, reward=1.0), Count(total=3, reward=1.0)
    assert made == usual
    assert made.model_fields_set == usual.model_fields_set
    assert encoding.plain_observation(made) is not None
    assert copy.deepcopy(made) == pickle.loads(pickle.dumps(made)) == usual
    made.total = 4
    with pytest.raises(ValidationError):
        made.total = "many"
    assert unchecked(Count, total=1).metadata is not unchecked(Count, total=1).metadata


def test_the_public_names_are_there():
    expected = {"Action", "Observation", "State", "StepResult", "EnvironmentMetadata", "Reward"}
    assert expected <= set(openenv.models.__all__)
    assert all(hasattr(openenv.models, name) for name in openenv.models.__all__)
