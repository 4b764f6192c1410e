"""Stable-Baselines3 over a vector client."""

import pytest

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (extra: sb3)")

import numpy as np
import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from openenv.errors import ConfigurationError
from openenv.integrations.gymnasium import RemoteEnv
from openenv.integrations.sb3 import RemoteVecEnv, faultless

LEFT, STAY, RIGHT = range(3)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*GPU:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def make(corridor_url):
    made = []

    def one(kind=RemoteVecEnv, *args, **options):
        made.append(kind(corridor_url, *args, illegal_reward=-1.0, **options))
        return made[-1]

    yield one
    for env in made:
        env.close()


def finite(model):
    return all(torch.isfinite(each).all() for each in model.policy.parameters())


def test_stable_baselines3_checks_one(make):
    check_env(make(RemoteEnv))


def test_many_do_what_its_own_vector_of_one_after_another_does(make):
    options = {"observation": "at", "arguments": {"at": 3}}
    ours = make(num_envs=3, **options)
    theirs = DummyVecEnv([lambda: make(RemoteEnv, **options)] * 3)
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    for turn in range(25):
        actions = np.array([RIGHT, STAY, (LEFT, RIGHT)[turn % 2]])
        seen, rewards, dones, infos = ours.step(actions)
        wanted, their_rewards, their_dones, their_infos = theirs.step(actions)
        np.testing.assert_array_equal(seen, wanted)
        np.testing.assert_array_equal(dones, their_dones)
        assert rewards.dtype == their_rewards.dtype
        np.testing.assert_array_equal(rewards, their_rewards)
        for index in np.flatnonzero(dones):
            for key in ("terminal_observation", "TimeLimit.truncated"):
                assert infos[index][key] == their_infos[index][key]


def test_an_episode_that_ends_is_told_with_its_return(make):
    envs = make(num_envs=2, arguments=[{"at": 4}, {"at": 1}])
    envs.reset()
    envs.step(np.array([RIGHT, RIGHT]))
    _, _, dones, infos = envs.step(np.array([RIGHT, RIGHT]))
    assert dones.tolist() == [True, False]
    assert infos[0]["episode"] == {"r": pytest.approx(0.9), "l": 2, "t": 0.0}
    assert "episode" not in infos[1]


def test_an_end_by_the_rules_at_the_limit_is_no_end_by_the_limit(make):
    """Else the value of what would come next is learned where nothing does."""
    options = {"observation": "at", "arguments": {"at": 5, "limit": 1}}
    for envs in (make(num_envs=1, **options), DummyVecEnv([lambda: make(RemoteEnv, **options)])):
        envs.reset()
        _, _, dones, infos = envs.step(np.array([RIGHT]))
        assert (dones.tolist(), infos[0]["TimeLimit.truncated"]) == ([True], False)


def test_what_would_spoil_all_rewards_by_a_fault_is_refused(make):
    envs = make(num_envs=2, observation="at")
    with pytest.raises(ConfigurationError, match="norm_reward=False"):
        faultless(PPO, VecNormalize(envs, norm_obs=False))
    assert faultless(PPO, VecNormalize(envs, norm_obs=False, norm_reward=False)) == faultless(PPO, envs)
    with pytest.raises(ConfigurationError, match="fault_reward"):
        make(num_envs=2, fault_reward=0.0)


def test_seeds_options_and_masks_are_passed_on(make):
    envs = make(num_envs=2, observation="at")
    envs.seed(2)
    assert envs.reset().tolist() == [2, 3]
    envs.set_options({"at": 0})
    assert envs.reset().tolist() == [0, 0]
    assert envs.env_method("action_masks")[0].tolist() == [False, True, True]
    assert envs.has_attr("action_masks")
    with pytest.raises(NotImplementedError):
        envs.env_method("explode")
    with pytest.raises(NotImplementedError):
        envs.set_attr("at", 1)


@pytest.mark.slow
@pytest.mark.parametrize("broken", [False, True], ids=["sound", "a fourth is broken"])
def test_ppo_learns_the_way_whatever_breaks(make, broken):
    """To the right from 2: from a return of about -1 to one of nearly 0.7."""
    arguments = [{"at": 2, "broken": "step" if broken and index % 4 == 0 else ""} for index in range(8)]
    envs = make(num_envs=8, observation="at", arguments=arguments)
    model = PPO("MlpPolicy", envs, 5e-3, 32, 64, 6, ent_coef=0.02, seed=1, **faultless(PPO, envs))
    model.learn(32 * 8 * 12)
    assert finite(model)
    returns = [episode["r"] for episode in model.ep_info_buffer]
    assert not np.isnan(returns).any()
    assert np.mean(returns[-50:]) > 0.5
    assert bool(envs.envs.faults) == broken


class Watched:
    """Keeps what a rollout buffer gives to the trainer."""

    def __init__(self, buffer):
        self.counts, self._get_samples = [], buffer._get_samples
        buffer._get_samples = self

    def __call__(self, *args):
        samples = self._get_samples(*args)
        self.counts.append(len(samples.advantages))
        assert torch.isfinite(samples.advantages).all()
        assert torch.isfinite(samples.returns).all()
        return samples


def test_no_transition_that_broke_is_in_a_batch(make):
    envs = make(num_envs=2, arguments=[{"broken": "told"}, {"at": 2}])
    model = PPO("MultiInputPolicy", envs, n_steps=16, batch_size=32, n_epochs=1, seed=1, **faultless(PPO, envs))
    watched = Watched(model.rollout_buffer)
    model.learn(32)
    assert watched.counts == [16]  # all of the second, none of the first
    buffer = model.rollout_buffer
    np.testing.assert_allclose(buffer.advantages[:16], 0, atol=1e-6)
    assert finite(model)


def test_no_transition_that_broke_is_in_a_replay_buffer(make):
    envs = make(num_envs=2, observation="at", arguments=[{"broken": "step"}, {}])
    model = DQN("MlpPolicy", envs, learning_starts=10, train_freq=4, seed=1, **faultless(DQN, envs))
    model.learn(60)
    stored = model.replay_buffer.rewards[: model.replay_buffer.size()]
    assert len(stored) > 20
    assert np.isfinite(stored).all()
    assert finite(model)


def test_without_such_a_buffer_a_fault_is_not_overlooked(make):
    """The policy's numbers are checked by torch: it stops, rather than learn from a 0."""
    envs = make(num_envs=2, observation="at", arguments=[{"broken": "step"}, {}])
    model = PPO("MlpPolicy", envs, n_steps=16, batch_size=32, seed=1)
    with pytest.raises(ValueError, match="nan"):
        model.learn(200)
