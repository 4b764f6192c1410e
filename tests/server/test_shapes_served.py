"""Environments of every shape, given to `create_app` as they are and played over a real socket."""

import pytest
from tests import shapes
from tests.toys import Add, Count, Counter

from openenv.client import EnvClient, GenericEnvClient
from openenv.environment.adapter import Shape
from openenv.errors import EpisodeEndedError, InvalidRequestError
from openenv.protocol.unions import members


def client_of(environment: type) -> type[EnvClient]:
    """Return a client class with the types that the environment declares."""
    shape = Shape.of(environment)
    types = {
        "action_types": members(shape.action),
        "observation_type": shape.observation,
        "state_type": shape.state,
    }
    return type("Client", (EnvClient,), types)


@pytest.mark.parametrize("environment", shapes.SHAPES)
def test_an_episode_against_every_shape(serve, environment):
    client = client_of(environment)
    action = shapes.AddData if environment is shapes.DataclassModels else Add
    with client(serve(environment).url).sync() as env:
        first = env.reset(seed=1)
        assert (first.observation.total, first.reward, first.done) == (0, None, False)
        second = env.step(action(amount=3))
        assert (second.observation.total, second.reward, second.done) == (3, 3.0, False)
        last = env.step(action(amount=7))
        assert (last.observation.total, last.reward, last.done) == (10, 7.0, True)
        state = env.state()
        assert (state.total, state.step_count) == (10, 2)
        with pytest.raises(EpisodeEndedError):
            env.step(action(amount=1))


@pytest.mark.parametrize("env", [Counter, Counter(), lambda: Counter()], ids=["class", "instance", "factory"])
def test_a_class_an_instance_and_a_factory(serve, env):
    with GenericEnvClient(serve(env, action_cls=Add, observation_cls=Count).url) as client:
        assert client.reset().observation["total"] == 0
        assert client.step({"amount": 4}).observation["total"] == 4


def test_a_union_of_actions_reaches_the_environment_as_what_was_sent(serve):
    with client_of(shapes.UnionAction)(serve(shapes.UnionAction).url) as env:
        env.reset()
        assert env.step(Add(amount=2)).observation.total == 2
        assert env.step(shapes.Double(times=3)).observation.total == 6


def test_an_unused_seed_is_said_over_the_wire_and_refused_in_strict_mode(serve):
    with GenericEnvClient(serve(shapes.TakesNothing).url) as env:
        [warning] = env.reset(seed=3).info["warnings"]
        assert "seed was not used" in warning
        assert "not reproducible" in warning
        assert "warnings" not in env.reset().info
    with (
        GenericEnvClient(serve(shapes.TakesNothing, strict=True).url) as env,
        pytest.raises(InvalidRequestError, match="does not take seed"),
    ):
        env.reset(seed=3)
