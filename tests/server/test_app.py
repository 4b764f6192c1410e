"""What can be given to `create_app`, and what it says when something cannot be."""

import pytest
from fastapi import FastAPI
from tests import shapes
from tests.toys import Add, Count, Counter, Tally

from openenv.errors import ConcurrencyConfigurationError, ConfigurationError
from openenv.models import Action, Observation
from openenv.protocol.codes import ServerMode
from openenv.protocol.messages import ConcurrencyConfig
from openenv.server import HTTPEnvServer, create_app, create_fastapi_app


class Alone(Counter):
    SUPPORTS_CONCURRENT_SESSIONS = False


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in ("OPENENV_MODE", "MAX_CONCURRENT_ENVS", "OPENENV_MAX_MESSAGE_SIZE_MB"):
        monkeypatch.delenv(name, raising=False)


def sessions(app: FastAPI) -> int:
    return app.state.openenv.manager.config.max_concurrent_envs


@pytest.mark.parametrize("shape", shapes.SHAPES)
def test_every_shape_can_be_served(shape):
    assert isinstance(create_app(shape), FastAPI)


@pytest.mark.parametrize("env", [Counter, Counter(), lambda: Counter()], ids=["class", "instance", "factory"])
def test_a_class_an_instance_or_a_factory_can_be_given(env):
    assert isinstance(create_app(env, Add, Count, env_name="counter"), FastAPI)


def test_the_types_are_those_of_the_environment_unless_others_are_given():
    class Other(Action):
        pass

    codec = create_app(Counter).state.openenv._context.codec
    assert (codec.action, codec.observation, codec.state) == (Add, Count, Tally)
    assert create_app(Counter, Other).state.openenv._context.codec.action is Other
    assert create_app(Counter(), None, Observation).state.openenv._context.codec.observation is Observation


def test_a_factory_must_come_with_its_types():
    with pytest.raises(ConfigurationError, match="Give action_cls and observation_cls"):
        create_app(lambda: Counter())


@pytest.mark.parametrize(
    ("env", "options", "error", "told"),
    [
        (5, {}, ConfigurationError, "not int"),
        (Counter, {"max_concurrent_envs": 0}, ConfigurationError, "at least 1, not 0"),
        (Counter, {"max_concurrent_envs": -1}, ConfigurationError, "at least 1"),
        (
            Alone,
            {"max_concurrent_envs": 2, "isolation": "none"},
            ConcurrencyConfigurationError,
            "Alone can not serve 2 sessions",
        ),
        (
            Counter,
            {"max_concurrent_envs": 2, "concurrency_config": ConcurrencyConfig()},
            ConfigurationError,
            "not both",
        ),
        (
            Alone,
            {"concurrency_config": ConcurrencyConfig(max_concurrent_envs=3), "isolation": "none"},
            ConcurrencyConfigurationError,
            "3",
        ),
        (Counter, {"mode": "bogus"}, ConfigurationError, "simulation, production, not 'bogus'"),
    ],
)
def test_what_cannot_be_served_is_refused_when_the_app_is_made(env, options, error, told):
    with pytest.raises(error, match=told):
        create_app(env, **options)


def test_capacity_comes_from_the_program_then_the_variable_then_the_environment(monkeypatch):
    assert sessions(create_app(Counter)) == 128
    assert sessions(create_app(Alone)) == 128  # a process each
    assert sessions(create_app(Alone, isolation="none")) == 1
    monkeypatch.setenv("MAX_CONCURRENT_ENVS", "7")
    assert sessions(create_app(Counter)) == 7
    assert sessions(create_app(Counter, max_concurrent_envs=3)) == 3
    assert sessions(create_app(Counter, concurrency_config=ConcurrencyConfig(max_concurrent_envs=4))) == 4
    monkeypatch.setenv("MAX_CONCURRENT_ENVS", "lots")
    with pytest.raises(ConfigurationError, match="MAX_CONCURRENT_ENVS"):
        create_app(Counter)


def test_the_mode_comes_from_the_program_then_the_variable(monkeypatch):
    assert create_app(Counter).state.openenv.mode is ServerMode.SIMULATION
    monkeypatch.setenv("OPENENV_MODE", "production")
    assert create_app(Counter).state.openenv.mode is ServerMode.PRODUCTION
    assert create_app(Counter, mode="simulation").state.openenv.mode is ServerMode.SIMULATION
    assert create_app(Counter, mode=ServerMode.PRODUCTION).state.openenv.mode is ServerMode.PRODUCTION


def test_the_old_arguments_by_position_are_accepted():
    config = ConcurrencyConfig(max_concurrent_envs=2)
    app = create_app(Counter, Add, Count, "counter", None, config, None, "Custom", False, True, "A title", Tally)
    assert app.title == "A title"
    assert sessions(app) == 2
    assert create_fastapi_app is create_app


def test_routes_can_be_put_into_an_application_of_ones_own():
    app = FastAPI()
    HTTPEnvServer(Counter, env_name="counter").register_routes(app)
    assert {"/health", "/reset", "/step", "/state", "/sessions"} <= app.openapi()["paths"].keys()


async def test_closing_a_server_closes_the_instance_it_was_given():
    closed = []

    class Sync(Counter):
        def close(self):
            closed.append("sync")

    class Async(Counter):
        async def close(self):
            closed.append("async")

    for environment in (Sync(), Async()):
        await HTTPEnvServer(environment).close()
    assert closed == ["sync", "async"]
