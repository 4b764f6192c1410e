"""What is decoded equals what was encoded, for every model."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from tests import strategies
from tests.toys import Count

from echo_env import CallToolAction, EchoAction, EchoEnv, EchoObservation, ListToolsAction
from echo_env.server.echo_environment import EchoEnvironment
from openenv import values
from openenv.environment.adapter import Shape
from openenv.models import Action, EnvironmentMetadata, Observation, State, StepResult
from openenv.protocol import codec, encoding
from openenv.protocol.unions import members
from python_exec_env import PyExecEnv, PyExecObservation, ResetAction, RunCodeAction
from python_exec_env.server.python_exec_environment import PythonExecEnvironment

ENVIRONMENTS = {
    EchoEnv: Shape.of(EchoEnvironment).action,
    PyExecEnv: Shape.of(PythonExecEnvironment).action,
}

MODELS = [
    *(Action, Observation, State, EnvironmentMetadata, Count),
    *(EchoAction, CallToolAction, ListToolsAction, EchoObservation),
    *(RunCodeAction, ResetAction, PyExecObservation),
]


def described(value: Any) -> Any:
    """Return a value with its types spelled out all the way down, since 1 == 1.0 == True."""
    if isinstance(value, BaseModel):
        content = {**dict(value), **(value.model_extra or {})}
        return type(value), described(content)
    if isinstance(value, dict):
        return {key: described(item) for key, item in value.items()}
    if isinstance(value, list):
        return [described(item) for item in value]
    if isinstance(value, np.ndarray):
        return "array", value.dtype.str, value.shape, value.tobytes()
    return type(value), value


def assert_same(decoded: Any, encoded: Any) -> None:
    """Equal in value and type; and what is not an array also by `==`."""
    assert described(decoded) == described(encoded)
    if isinstance(encoded, BaseModel):
        assert decoded == encoded


@pytest.mark.parametrize("cls", MODELS)
@given(data=st.data())
def test_every_model_is_decoded_as_it_was_encoded(cls, data):
    model = data.draw(strategies.models(cls))
    decoded = cls.model_validate_json(encoding.dump_model(model))
    assert type(decoded) is cls
    assert_same(decoded, model)


@given(strategies.values)
def test_a_tree_of_values_is_decoded_as_it_was_encoded(value):
    assert_same(values.loads(values.dumps([value])), [value])


@given(extras=strategies.metadata)
def test_fields_a_state_does_not_declare_survive(extras):
    state = State(episode_id="e", **{f"x_{key}": value for key, value in extras.items()})
    assert_same(State.model_validate_json(encoding.encode_state(state)), state)


@pytest.mark.parametrize(
    ("client", "observation"),
    [(EchoEnv, EchoObservation), (PyExecEnv, PyExecObservation)],
    ids=["echo_env", "python_exec_env"],
)
@given(data=st.data())
def test_a_step_result_reaches_the_client_as_the_server_sent_it(client, observation, data):
    seen = data.draw(strategies.models(observation))
    done, truncated = data.draw(st.booleans()), data.draw(st.booleans())
    sent = StepResult(
        seen,
        data.draw(strategies.rewards),
        done,
        truncated=truncated,
        info=data.draw(strategies.metadata),
        metadata=data.draw(strategies.metadata),
    )
    frame = encoding.frame("observation", encoding.encode_result(sent))

    received = client(base_url="http://localhost")._codec.result(frame)

    expected = sent.observation.model_copy(update={"reward": sent.reward, "done": sent.done})
    assert_same(received.observation, expected)
    assert_same(received.model_copy(update={"observation": None}), sent.model_copy(update={"observation": None}))


@pytest.mark.parametrize("client", [EchoEnv, PyExecEnv], ids=["echo_env", "python_exec_env"])
@given(data=st.data())
def test_every_action_of_an_environment_reaches_the_server_as_the_client_sent_it(client, data):
    server = codec.ServerCodec(ENVIRONMENTS[client], Observation)
    action = data.draw(st.one_of(*map(strategies.models, members(server.action))))
    sent = client(base_url="http://localhost")._codec.payload_json(action)

    received = server.decode(encoding.frame("step", sent)).data

    assert type(received) is type(action)
    assert_same(received, action)
