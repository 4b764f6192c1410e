"""What atari_env promises: the contract, every game, kinds of observations, seeds, scores."""

import asyncio
from typing import Any

import pytest

pytest.importorskip("ale_py", reason="ale-py is not installed")

import numpy as np

from atari_env import AtariAction, AtariEnv, policies
from atari_env.server.atari_environment import GAMES, AtariEnvironment
from atari_env.server.resizing import resized
from openenv.errors import ConfigurationError, InvalidRequestError, NotResetError
from openenv.models import StepResult
from openenv.providers import ProcessProvider, SandboxProvider
from openenv.testing import EnvironmentContract, EnvironmentMemoryContract


def small() -> AtariEnvironment:
    return AtariEnvironment("pong", observation="grayscale", size=84)


class TestContract(EnvironmentContract):
    environment = AtariEnvironment
    actions = (AtariAction(action_id=0), AtariAction(action_id=1), AtariAction(action_id=3))
    bad_actions = (
        {},
        {"action_id": 6},
        {"action_id": 18},
        {"action_id": -1},
        {"action_id": 10**30},
        {"action_id": 1.5},
        {"action_id": "1"},
        {"action_id": True},
        {"action_id": None},
        {"action_id": 0, "more": 1},
    )


class TestShortEpisodes(EnvironmentContract):
    environment = staticmethod(lambda: AtariEnvironment(observation="ram", max_frames=12, noops=3))
    actions = (AtariAction(action_id=0), AtariAction(action_id=2))


@pytest.mark.slow
class TestMemory(EnvironmentMemoryContract):
    environment = staticmethod(small)
    actions = (AtariAction(action_id=0),)


def played(environment: AtariEnvironment, *actions: int, **reset: Any) -> list[StepResult]:
    environment.reset(**reset)
    return [environment.step(AtariAction(action_id=number)) for number in actions]


# --- games and what is seen of them ------------------------------------------------------------------------


def test_there_are_104_games_and_those_for_two_would_end_the_server():
    assert len(GAMES) == 104
    for game in ("combat", "joust", "maze_craze", "warlords"):
        with pytest.raises(InvalidRequestError, match="no game"):
            AtariEnvironment().reset(game=game)


@pytest.mark.slow
def test_every_game_can_be_played():
    environment = AtariEnvironment()
    for game in sorted(GAMES):
        start = environment.reset(game=game, seed=1)
        assert len(start.action_names) == len(start.legal_actions) >= 2
        result = environment.step(AtariAction(action_id=len(start.legal_actions) - 1))
        assert result.observation.screen.ndim == 3
        assert result.reward is not None


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({}, (210, 160, 3)),
        ({"observation": "grayscale"}, (210, 160)),
        ({"observation": "ram"}, (128,)),
        ({"observation": "grayscale", "size": 84}, (84, 84)),
        ({"size": 64}, (64, 64, 3)),
        ({"observation": "ram", "size": 84}, (128,)),
        ({"observation": "grayscale", "size": 84, "max_pool": True}, (84, 84)),
    ],
    ids=str,
)
def test_an_observation_is_an_array_of_bytes(settings, shape):
    environment = AtariEnvironment(**settings)
    screens = [environment.reset(seed=1).screen, *(r.observation.screen for r in played(environment, 0, 2))]
    assert {(screen.dtype, screen.shape) for screen in screens} == {(np.dtype(np.uint8), shape)}


def test_a_reset_may_ask_for_another_kind_of_observation():
    environment = AtariEnvironment()
    assert environment.reset(observation="ram").screen.shape == (128,)
    assert environment.reset().screen.shape == (210, 160, 3)


def test_the_larger_of_two_frames_is_shown_if_asked_for():
    settings = {"observation": "grayscale", "sticky": 0.0}
    pooled = played(AtariEnvironment("asteroids", max_pool=True, **settings), *[0] * 10, seed=1)[-1]
    single = AtariEnvironment("asteroids", frame_skip=1, **settings)
    frames = [result.observation.screen for result in played(single, *[0] * 40, seed=1)]
    assert (pooled.observation.screen == np.maximum(frames[-1], frames[-2])).all()
    assert (frames[-1] != frames[-2]).any()


@pytest.mark.parametrize("shape", [(21, 16), (21, 16, 3), (25, 16)], ids=str)
@pytest.mark.parametrize("size", [8, 5, 1, 30])
def test_a_picture_is_resized_by_areas(shape, size):
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    fine = pixels.astype(float).repeat(size, 0).repeat(size, 1)
    exact = fine.reshape(size, shape[0], size, shape[1], *shape[2:]).mean((1, 3))
    assert np.abs(resized(pixels, size) - exact).max() <= 0.501


def test_actions_are_those_of_the_game_or_all_of_them():
    names = AtariEnvironment("pong").reset().action_names
    assert names == ["NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE"]
    start = AtariEnvironment("pong", full_action_set=True).reset()
    assert (len(start.action_names), start.legal_actions) == (18, list(range(18)))


def test_lives_are_counted_and_an_episode_ends_without_them():
    environment = AtariEnvironment("breakout", sticky=0.0, observation="ram")
    lives = [environment.reset(seed=1).lives]
    while True:
        result = environment.step(AtariAction(action_id=1))
        lives.append(result.observation.lives)
        if result.done:
            break
    assert sorted(set(lives), reverse=True) == [5, 4, 3, 2, 1, 0]
    assert (result.terminated, result.truncated) == (True, False)


def test_a_limit_of_frames_cuts_an_episode_off():
    results = played(AtariEnvironment(max_frames=10), 0, 0, 0)
    assert [(r.done, r.truncated) for r in results] == [(False, False), (False, False), (True, True)]
    assert results[-1].observation.episode_frame_number == 10


# --- seeds ---------------------------------------------------------------------------------------------------


def frames(seed: int | None, environment: AtariEnvironment | None = None, **settings: Any) -> list[bytes]:
    environment = environment or AtariEnvironment("breakout", observation="grayscale", size=42, **settings)
    results = played(environment, *[1, 2, 3] * 15, seed=seed)
    return [result.observation.screen.tobytes() for result in results]


def test_a_seed_decides_which_actions_stick_and_how_an_episode_begins():
    assert frames(1) == frames(1)
    assert frames(1) != frames(2)
    assert frames(1, noops=30) != frames(1)
    assert frames(1, sticky=0.0) != frames(1)


def test_a_seed_means_the_same_after_other_episodes():
    environment = AtariEnvironment("breakout", observation="grayscale", size=42)
    first = frames(1, environment)
    assert frames(None, environment) != first
    assert frames(1, environment) == first


# --- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reset",
    [
        {"game": "no_such_game"},
        {"game": "../pong"},
        {"game": ""},
        {"game": 5},
        {"observation": "sound"},
        {"mode": 99},
        {"difficulty": -1},
        {"seed": -1},
    ],
    ids=str,
)
def test_a_reset_that_is_wrong_is_refused_and_the_next_works(reset):
    environment = AtariEnvironment()
    with pytest.raises(InvalidRequestError):
        environment.reset(**reset)
    assert environment.reset().screen.shape == (210, 160, 3)
    assert environment.step(AtariAction(action_id=0)).reward == 0.0


def test_modes_and_difficulties_of_one_game_are_not_those_of_another():
    environment = AtariEnvironment("pong", mode=1, difficulty=3)
    environment.reset()
    environment.reset(game="breakout")
    assert (environment.state.mode, environment.state.difficulty) == (None, None)
    environment.reset(game="breakout", mode=4)
    assert environment.state.mode == 4


@pytest.mark.parametrize(
    "settings",
    [
        {"game": "chess"},
        {"observation": "x"},
        {"size": 0},
        {"size": 10**6},
        {"frame_skip": 0},
        {"sticky": 1.5},
        {"sticky": float("nan")},
        {"noops": -1},
        {"max_frames": 0},
    ],
    ids=str,
)
def test_a_setting_that_is_wrong_says_so(settings):
    with pytest.raises(ConfigurationError):
        AtariEnvironment(**settings)


def test_a_step_before_the_first_reset_is_refused():
    with pytest.raises(NotResetError):
        AtariEnvironment().step(AtariAction(action_id=0))


# --- what it looks like, and what policies make of it --------------------------------------------------------


def test_it_is_drawn_as_a_png():
    environment = AtariEnvironment(observation="ram")
    assert environment.render() is None
    observation = environment.reset()
    assert environment.render().startswith(b"\x89PNG")
    assert 'alt="pong"' in environment.render_web(observation)


def settings(**more: str) -> dict[str, str]:
    return {"ATARI_FRAMESKIP": "2", "ATARI_REPEAT_ACTION_PROB": "0", **more}


@pytest.mark.slow
def test_the_policies_in_a_sandbox():
    provider = SandboxProvider("atari_env.server.app:app", memory_bytes=4 * 2**30, env_vars=settings())
    with AtariEnv.with_provider(provider) as env:
        assert policies.oracle(env, seed=1) == policies.MAX_RETURN
        assert policies.null(env, seed=1) == policies.MIN_RETURN


@pytest.mark.slow
def test_a_server_takes_its_settings_from_variables():
    variables = settings(ATARI_GAME="breakout", ATARI_OBS_TYPE="grayscale", ATARI_SIZE="84", ATARI_NOOPS="5")
    variables |= {"ATARI_FULL_ACTION_SPACE": "true", "ATARI_MAX_POOL": "1", "ATARI_MODE": "4"}
    provider = ProcessProvider("atari_env.server.app:app", env_vars=variables, max_concurrent_envs=4)

    async def play() -> None:
        async with provider as server, AtariEnv(base_url=server.base_url) as env:
            start = (await env.reset(seed=1)).observation
            assert (start.screen.shape, len(start.action_names)) == ((84, 84), 18)
            assert (await env.state()).mode == 4

    asyncio.run(play())
