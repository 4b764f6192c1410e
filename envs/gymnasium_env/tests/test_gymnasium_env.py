"""What gymnasium_env promises: the contract, actions looked at, endings told apart, pictures, minigrid."""

import asyncio
from typing import Any, ClassVar

import pytest

gymnasium = pytest.importorskip("gymnasium", reason="gymnasium is not installed")

import numpy as np
from gymnasium import spaces

from gymnasium_env import GymnasiumAction, GymnasiumEnv, GymnasiumObservation, policies
from gymnasium_env.server.gymnasium_environment import GymnasiumEnvironment
from openenv.errors import ConfigurationError, InvalidRequestError
from openenv.models import StepResult
from openenv.providers import ProcessProvider, SandboxProvider
from openenv.testing import EnvironmentContract, EnvironmentMemoryContract, LocalServer


class TestContract(EnvironmentContract):
    environment = GymnasiumEnvironment
    actions = (GymnasiumAction(action=0), GymnasiumAction(action=1), GymnasiumAction(action=1))
    bad_actions = (
        {},
        {"action": 2},
        {"action": -1},
        {"action": 10**40},
        {"action": 0.0},
        {"action": True},
        {"action": "0"},
        {"action": None},
        {"action": [0]},
        {"action": 0, "more": 1},
    )


@pytest.mark.slow
class TestMemory(EnvironmentMemoryContract):
    environment = GymnasiumEnvironment
    actions = (GymnasiumAction(action=0),)


class Everything(gymnasium.Env[Any, Any]):
    """Its action is an element of a space of all kinds, and is what it shows next. It ends as it is told."""

    action_space: ClassVar[Any] = spaces.Dict(
        {
            "force": spaces.Box(-1.0, 1.0, (2,), np.float32),
            "gear": spaces.Discrete(3, start=1),
            "switches": spaces.MultiBinary(2),
            "levers": spaces.MultiDiscrete([2, 3]),
            "say": spaces.Text(5),
            "pair": spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 255, (1, 2), np.uint8)]),
            "list": spaces.Sequence(spaces.Discrete(4)),
            "one": spaces.OneOf([spaces.Discrete(2), spaces.Text(3)]),
        }
    )
    observation_space = action_space
    ending: tuple[bool, bool] = (False, False)
    seen = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.ending = tuple((options or {}).get("ending", (False, False)))
        self.action_space.seed(seed)
        info = {"odd": {1: float("nan"), "object": object, "array": np.arange(2), "set": {np.int8(3)}}}
        return self.action_space.sample(), info

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        self.seen += 1
        return action, np.float32(0.5), *map(np.bool_, self.ending), {"seen": self.seen}


ACTION = {
    "force": [0.25, -1],
    "gear": 3,
    "switches": [0, 1],
    "levers": [1, 2],
    "say": "abc",
    "pair": [1, [[0, 255]]],
    "list": [3, 0],
    "one": [1, "xyz"],
}


def served(main: Any, **settings: Any) -> Any:
    """Run a test on a client of an environment in this process."""

    async def run() -> Any:
        make = lambda: GymnasiumEnvironment(**settings)  # noqa: E731
        types = {"action": GymnasiumAction, "observation": GymnasiumObservation}
        async with LocalServer(make, **types) as server, server.client(GymnasiumEnv) as env:
            return await main(env)

    return asyncio.run(run())


async def result_of(env: GymnasiumEnv, action: Any, **reset: Any) -> StepResult[GymnasiumObservation]:
    await env.reset(**reset)
    return await env.step(GymnasiumAction(action=action))


def test_an_action_of_every_kind_of_space_arrives_and_comes_back():
    async def main(env: GymnasiumEnv) -> None:
        result = await result_of(env, ACTION)
        seen = result.observation.observation
        assert {key: value.tolist() for key, value in seen.items() if isinstance(value, np.ndarray)} == {
            "force": [0.25, -1.0],
            "switches": [0, 1],
            "levers": [1, 2],
        }
        assert (seen["gear"], seen["say"], seen["list"], seen["one"]) == (3, "abc", [3, 0], [1, "xyz"])
        assert seen["pair"][0] == 1
        assert (seen["pair"][1].dtype, seen["pair"][1].tolist()) == (np.uint8, [[0, 255]])
        assert (result.reward, result.done, result.observation.env_info) == (0.5, False, {"seen": 1})

    served(main, env=Everything)


def test_a_number_may_come_as_an_array():
    async def main(env: GymnasiumEnv) -> None:
        changed = {"gear": np.int64(2), "force": np.zeros(2), "switches": np.array([True, False])}
        with pytest.raises(InvalidRequestError):  # truth values are no numbers
            await result_of(env, ACTION | changed)
        changed["switches"] = np.array([1, 0], np.int8)
        assert (await result_of(env, ACTION | changed)).observation.observation["gear"] == 2

    served(main, env=Everything)


BAD = {
    "force": [[0.0], [0.0, 1.1], [0.0, float("inf")], "ab", [[0.0], [1, 2]], [1e400, 0], None, [10**400, 0]],
    "gear": [0, 4, 1.0, True, "1", None, [1], 10**30],
    "switches": [[0, 2], [0], [0, 0.5], 1, [-1, 0]],
    "levers": [[2, 0], [0, 3], [-1, 0], [0.0, 0.0], [[0, 0]]],
    "say": ["", "abcdef", "a b", 5, None],
    "pair": [[1], [1, [[0, 256]]], [1, [[0, 0.5]]], [2, [[0, 0]]], {"0": 1}, 5],
    "list": [[4], 3, "ab", None, [[1]]],
    "one": [[2, 0], [0, "x"], [0], 1, [1, "toolong"]],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key in BAD for value in BAD[key]], ids=repr)
def test_what_is_not_in_the_space_is_refused_and_changes_nothing(key, value):
    environment = GymnasiumEnvironment(Everything)
    environment.reset()
    with pytest.raises(InvalidRequestError, match="No action of"):
        environment.step(GymnasiumAction(action=ACTION | {key: value}))
    assert environment.state.step_count == 0
    assert environment.step(GymnasiumAction(action=ACTION)).observation.env_info == {"seen": 1}


@pytest.mark.parametrize(
    "value", [{}, [], None, {**ACTION, "more": 1}, {key: ACTION[key] for key in list(ACTION)[1:]}], ids=repr
)
def test_an_object_with_other_keys_is_refused(value):
    environment = GymnasiumEnvironment(Everything)
    environment.reset()
    with pytest.raises(InvalidRequestError, match="keys"):
        environment.step(GymnasiumAction(action=value))


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        ((True, False), (True, True, False)),
        ((False, True), (True, False, True)),
        ((True, True), (True, True, False)),
        ((False, False), (False, False, False)),
    ],
    ids=str,
)
def test_an_end_by_the_rules_and_one_by_a_limit_are_told_apart(ending, told):
    async def main(env: GymnasiumEnv) -> None:
        result = await result_of(env, ACTION, options={"ending": ending})
        assert (result.done, result.terminated, result.truncated) == told

    served(main, env=Everything)


def test_a_limit_of_steps_cuts_an_episode_off():
    async def main(env: GymnasiumEnv) -> None:
        result = await result_of(env, ACTION)
        assert (result.done, result.truncated) == (False, False)
        result = await env.step(GymnasiumAction(action=ACTION))
        assert (result.done, result.truncated) == (True, True)

    served(main, env=Everything, max_episode_steps=2)


def test_what_an_info_holds_is_sent_as_far_as_it_can_be():
    async def main(env: GymnasiumEnv) -> None:
        odd = (await env.reset(seed=1)).observation.env_info["odd"]
        assert (odd["1"], odd["object"], odd["set"]) == ("nan", "<class 'object'>", [3])
        assert odd["array"].tolist() == [0, 1]

    served(main, env=Everything)


def test_legal_actions_are_those_of_the_mask():
    observation = GymnasiumEnvironment("Taxi-v4").reset(seed=1)
    mask = observation.env_info["action_mask"]
    assert observation.legal_actions == [number for number in range(6) if mask[number]]
    assert GymnasiumEnvironment().reset().legal_actions is None


def test_another_environment_may_be_played_for_an_episode():
    environment = GymnasiumEnvironment()
    environment.reset(seed=1, env_id="FrozenLake-v1")
    assert environment.state.env_id == "FrozenLake-v1"
    environment.step(GymnasiumAction(action=3))
    environment.reset()
    assert environment.state.env_id == "CartPole-v1"


@pytest.mark.parametrize("env_id", ["NoSuch-v0", "os:NoSuch-v0", "CartPole", "", "../x"])
def test_an_environment_that_is_not_registered_is_refused_and_the_episode_goes_on(env_id):
    environment = GymnasiumEnvironment()
    environment.reset(seed=1)
    with pytest.raises(InvalidRequestError, match="no environment"):
        environment.reset(env_id=env_id)
    assert environment.step(GymnasiumAction(action=1)).reward == 1.0


def test_a_seed_below_zero_is_refused():
    with pytest.raises(InvalidRequestError, match="0 or more"):
        GymnasiumEnvironment().reset(seed=-1)


class Graphs(Everything):
    observation_space = spaces.Graph(spaces.Discrete(2), None)


def test_a_space_without_a_schema_is_refused_with_what_to_do():
    with pytest.raises(ConfigurationError, match="Graph has no JSON Schema here; wrap"):
        GymnasiumEnvironment(Graphs).reset()


def test_what_cannot_be_made_says_so():
    with pytest.raises(ConfigurationError, match="no environment 'NoSuch-v0'"):
        GymnasiumEnvironment("NoSuch-v0")
    with pytest.raises(ConfigurationError, match="cannot be imported"):
        GymnasiumEnvironment(modules=["no_such_module"])
    with pytest.raises(ConfigurationError, match="not an instance"):
        GymnasiumEnvironment(Everything())  # type: ignore[arg-type]


# --- what it looks like ----------------------------------------------------------------------------------


class Painted(Everything):
    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array", "ansi"]}

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def render(self) -> Any:
        return np.full((2, 3, 3), 7, np.uint8) if self.render_mode == "rgb_array" else "\x1b[41m<hero>\x1b[0m"


def test_a_picture_is_a_png_and_is_in_the_observation_if_asked_for():
    environment = GymnasiumEnvironment(Painted, render_mode="rgb_array", show=True)
    assert environment.render() is None
    observation = environment.reset()
    assert observation.picture == environment.render()
    assert observation.picture.startswith(b"\x89PNG")
    assert 'src="data:image/png;base64,iVBOR' in environment.render_web(observation)
    assert GymnasiumEnvironment(Painted, render_mode="rgb_array").reset().picture is None


def test_a_text_is_as_the_environment_has_it_and_escaped_on_a_page():
    environment = GymnasiumEnvironment(Painted, render_mode="ansi", show=True)
    observation = environment.reset()
    assert observation.text == "\x1b[41m<hero>\x1b[0m"
    assert environment.render_web(observation) == "<pre>&lt;hero&gt;</pre>"


def test_without_a_rendering_a_page_has_the_observation():
    environment = GymnasiumEnvironment(Everything)
    assert "force" in environment.render_web(environment.reset())


# --- policies, minigrid, served ----------------------------------------------------------------------------


@pytest.mark.slow
def test_the_policies_in_a_sandbox():
    with GymnasiumEnv.with_provider(SandboxProvider("gymnasium_env.server.app:app", memory_bytes=4 * 2**30)) as env:
        for seed in range(3):
            assert policies.oracle(env, seed=seed) == policies.MAX_RETURN
            assert 8.0 <= policies.null(env, seed=seed) <= 11.0


def test_minigrid_is_played_to_its_goal():
    pytest.importorskip("minigrid", reason="minigrid is not installed")
    id_, settings = "MiniGrid-Empty-5x5-v0", {"render_mode": "rgb_array", "show": True}

    async def main(env: GymnasiumEnv) -> None:
        start = (await env.reset(seed=1)).observation
        assert start.observation["mission"] == "get to the green goal square"
        assert start.observation["image"].shape == (7, 7, 3)
        assert start.action_space == {"type": "integer", "minimum": 0, "maximum": 6}
        assert start.observation_space["properties"]["mission"] == {"type": "string"}
        assert start.picture.startswith(b"\x89PNG")
        for action in (2, 2, 1, 2, 2):
            result = await env.step(GymnasiumAction(action=action))
        assert result.terminated
        assert result.reward == pytest.approx(1 - 0.9 * 5 / 100)

    served(main, env=id_, modules=["minigrid"], **settings)


@pytest.mark.slow
def test_a_server_takes_its_settings_from_variables(monkeypatch):
    settings = {"GYMNASIUM_ENV_ID": "FrozenLake-v1", "GYMNASIUM_ENV_KWARGS": '{"is_slippery": false}'}
    settings |= {"GYMNASIUM_ENV_RENDER_MODE": "ansi", "GYMNASIUM_ENV_SHOW": "true", "GYMNASIUM_ENV_MAX_STEPS": "3"}
    with GymnasiumEnv.with_provider(ProcessProvider("gymnasium_env.server.app:app", env_vars=settings)) as env:
        start = env.reset(seed=1)
        assert "FFF" in start.observation.text
        assert env.state().env_id == "FrozenLake-v1"
        for _ in range(3):
            result = env.step(GymnasiumAction(action=2))
        assert (result.truncated, result.observation.observation) == (True, 3)
