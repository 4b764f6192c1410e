"""Environments as those of Gymnasium: spaces, seeds, autoreset, faults."""

import math

import pytest

pytest.importorskip("gymnasium", reason="gymnasium is not installed (extra: gymnasium)")

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from tests.integrations.games import Place, Walk

from openenv.client import EnvClient, GenericEnvClient
from openenv.errors import BudgetExceededError, ConfigurationError, ExecutionError, InvalidRequestError
from openenv.integrations.gymnasium import EnvironmentFault, RemoteEnv, RemoteVectorEnv
from openenv.models import State
from openenv.outcomes import Cause, Status
from openenv.providers import ProcessProvider

LEFT, STAY, RIGHT = range(3)


class CorridorEnv(EnvClient[Walk, Place, State]):
    pass


CLIENTS = pytest.mark.parametrize("client_class", [CorridorEnv, GenericEnvClient], ids=["typed", "generic"])


@pytest.fixture
def make(corridor_url):
    made = []

    def one(kind=RemoteEnv, *args, **options):
        made.append(kind(corridor_url, *args, **options))
        return made[-1]

    yield one
    for env in made:
        env.close()


# --- one ---------------------------------------------------------------------------------------------------


@CLIENTS
def test_the_spaces_are_those_of_the_schemas(make, client_class):
    env = make(RemoteEnv, client_class)
    assert env.action_space == spaces.Discrete(3)
    assert env.observation_space == spaces.Dict({"at": spaces.Discrete(7), "warm": spaces.Discrete(2)})
    seen, _ = env.reset(seed=4)
    assert seen == {"at": 4, "warm": 1}
    assert env.observation_space.contains(seen)


@pytest.mark.filterwarnings("ignore:.*render modes:UserWarning")
def test_gymnasium_checks_it(make):
    check_env(make(illegal_reward=-1.0))


def test_an_episode_ends_by_its_rules_or_is_cut_off(make):
    env = make(observation="at")
    assert env.reset(options={"at": 5})[0] == 5
    seen, reward, terminated, truncated, info = env.step(RIGHT)
    assert (seen, reward, terminated, truncated) == (6, 1.0, True, False)
    assert info["outcome"].status == Status.TERMINATED
    env.reset(options={"at": 5})
    ends = [env.step(STAY)[2:4] for _ in range(10)]
    assert ends == [(False, False)] * 9 + [(False, True)]


def test_seeds_determine_all_that_follows(make):
    def starts(env):
        return [env.reset(seed=seed)[0] for seed in (3, None, None, None, None)]

    first = starts(make(observation="at"))
    assert first == starts(make(observation="at"))
    assert len(set(first[1:])) > 1


def test_the_field_that_is_seen_and_done_can_be_a_function(make):
    env = make(
        RemoteEnv,
        CorridorEnv,
        observation=lambda seen: [seen.at / 6, float(seen.warm)],
        action=lambda move: Walk(move=("left", "right")[move]),
        action_space=spaces.Discrete(2),
    )
    assert env.observation_space == spaces.Box(-np.inf, np.inf, (2,), np.float32)
    seen, _ = env.reset(seed=3)
    np.testing.assert_allclose(seen, [0.5, 0.0])
    np.testing.assert_allclose(env.step(1)[0], [4 / 6, 1.0], rtol=1e-6)


def test_the_legal_actions_are_a_mask(make):
    env = make()
    _, info = env.reset(options={"at": 0})
    assert info["action_mask"].tolist() == [False, True, True] == env.action_masks().tolist()
    assert info["started"] == 0
    env.reset(options={"at": 5})
    assert env.step(RIGHT)[4]["action_mask"].tolist() == [True] * 3  # it is over: nothing is asked any more


def test_a_fault_is_raised(make):
    env = make()
    env.reset(options={"broken": "step"})
    with pytest.raises(ExecutionError, match="told to fail"):
        env.step(STAY)
    env.reset(options={"broken": "told"})
    with pytest.raises(EnvironmentFault) as caught:
        env.step(STAY)
    assert caught.value.outcome.cause == Cause.ENVIRONMENT_ERROR
    with pytest.raises(ExecutionError):
        env.reset(options={"broken": "reset"})
    env.reset(options={"at": 0})
    with pytest.raises(InvalidRequestError, match="wall"):
        env.step(LEFT)


@pytest.mark.parametrize("broken", ["step", "told", "reset"])
def test_or_a_fault_truncates_the_episode_and_has_no_reward(make, broken):
    env = make(faults="truncate")
    _, info = env.reset(options={"broken": broken})
    assert info["reward_valid"] == (broken != "reset")
    seen, reward, terminated, truncated, info = env.step(STAY)
    assert env.observation_space.contains(seen)
    assert math.isnan(reward)
    assert (terminated, truncated, info["reward_valid"]) == (False, True, False)
    assert info["outcome"].status == Status.INFRA_FAULT
    assert env.reset(seed=1)[1]["reward_valid"]


def test_an_illegal_action_ends_the_episode_with_the_reward_that_was_said(make):
    env = make(illegal_reward=-1.0)
    env.reset(options={"at": 0})
    _, reward, terminated, truncated, info = env.step(LEFT)
    assert (reward, terminated, truncated, info["reward_valid"]) == (-1.0, True, False, True)
    assert info["outcome"].status == Status.POLICY_FAULT


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled", None])
def test_a_row_that_is_no_task_is_not_an_illegal_action(make, trouble_url, mode, caplog):
    """The agent has not refused it, so what it gets for illegal actions is not its reward."""
    rows = [{"task": 1}, {"task": 2, "trouble": "reset_refused"}]
    if mode is None:
        env = RemoteEnv(
            trouble_url,
            arguments=rows[1],
            observation_space=spaces.Discrete(10),
            observation="number",
            faults="truncate",
            illegal_reward=-1.0,
        )
        seen, _ = env.reset()
        assert math.isnan(env.step(seen)[1])
    else:
        env = RemoteVectorEnv(trouble_url, num_envs=2, arguments=rows, illegal_reward=-1.0, autoreset_mode=mode)
        seen, infos = env.reset()
        assert infos["reward_valid"].tolist() == [True, False]
        _, rewards, _, _, infos = env.step(seen)
        assert (rewards[0], math.isnan(rewards[1])) == (0.25, True)
        assert infos["reward_valid"].tolist() == [True, False]
    env.close()
    assert env.faults["invalid_action"]
    assert "there is no such task" in caplog.text


def test_what_nothing_has_graded_has_no_reward(make):
    env = make()
    env.reset(options={"broken": "ungraded", "at": 0})
    rewards = [env.step(STAY)[1] for _ in range(10)]
    assert rewards[:9] == [0.0] * 9
    assert math.isnan(rewards[9])


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"observation": "there"}, "no field 'there'"),
        ({"observation": "legal_actions"}, "no space"),
        ({"observation": lambda seen: str(seen)}, "no space"),
        ({"action": lambda element: {}}, "action_space"),
        ({"legal_actions": None}, "legal_actions"),
        ({"faults": "ignore"}, "truncate"),
    ],
    ids=["no such field", "a list of texts", "a text", "actions without a space", "a list", "another word"],
)
def test_what_cannot_be_told_is_refused(make, options, why):
    with pytest.raises(ConfigurationError, match=why):
        make(**options)


# --- many --------------------------------------------------------------------------------------------------


class Local(gymnasium.Env):
    """The corridor, as somebody would write it for Gymnasium."""

    action_space, observation_space = spaces.Discrete(3), spaces.Discrete(7)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.steps = 3, 0
        return self.at, {}

    def step(self, action):
        self.at, self.steps = self.at + int(action) - 1, self.steps + 1
        done = self.at == 6
        return self.at, 1.0 if done else -0.1, done, not done and self.steps == 10, {}


@CLIENTS
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_it_does_what_gymnasiums_own_does(make, mode, client_class):
    """The same actions in both, through ends by rule and by limit."""
    options = {"observation": "at", "arguments": {"at": 3}, "autoreset_mode": mode}
    ours = make(RemoteVectorEnv, client_class, 3, **options)
    theirs = SyncVectorEnv([Local] * 3, autoreset_mode=mode)
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"]
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.reset(seed=1)[0].tolist() == theirs.reset(seed=1)[0].tolist()
    for turn in range(30):
        # One to the right, one that stays, one that goes and comes back.
        actions = np.array([RIGHT, STAY, (LEFT, RIGHT)[turn % 2]])
        for mine, wanted in zip(ours.step(actions)[:4], theirs.step(actions)[:4], strict=True):
            assert mine.dtype == wanted.dtype
            assert mine.tolist() == wanted.tolist()
        if mode is AutoresetMode.DISABLED:
            over = theirs._terminations | theirs._truncations
            if over.any():
                mine, _ = ours.reset(options={"reset_mask": over})
                assert mine.tolist() == theirs.reset(options={"reset_mask": over})[0].tolist()


def test_a_reset_of_none_shows_what_was_seen_before(make):
    envs = make(RemoteVectorEnv, num_envs=2, observation="at", autoreset_mode="Disabled")
    envs.reset(seed=1)
    seen, infos = envs.reset(options={"reset_mask": np.zeros(2, bool)})
    assert (seen.tolist(), infos["reward_valid"].tolist()) == ([1, 2], [True, True])


def test_what_was_seen_last_is_in_the_infos_of_the_step_that_resets(make):
    envs = make(RemoteVectorEnv, num_envs=2, arguments=[{"at": 5}, {"at": 1}], autoreset_mode="SameStep")
    envs.reset()
    seen, _, terminations, _, infos = envs.step([RIGHT, RIGHT])
    assert terminations.tolist() == [True, False]
    assert seen["at"].tolist() == [5, 2]
    assert infos["final_obs"][0] == {"at": 6, "warm": 1}
    assert infos["_final_obs"].tolist() == [True, False]


def test_seeds_of_many_are_counted_up_or_given_one_by_one(make):
    envs = make(RemoteVectorEnv, num_envs=3, observation="at")
    assert envs.reset(seed=1)[0].tolist() == [1, 2, 3]
    assert envs.reset(seed=[4, None, 0])[0].tolist()[::2] == [4, 0]
    with pytest.raises(ValueError, match="2 seeds for 3"):
        envs.reset(seed=[1, 2])
    with pytest.raises(ConfigurationError, match="1 arguments for 3"):
        make(RemoteVectorEnv, num_envs=3, arguments=[{}])


def test_a_seed_determines_the_resets_of_autoreset(make):
    def played():
        envs = make(RemoteVectorEnv, num_envs=2, observation="at", autoreset_mode="SameStep")
        envs.reset(seed=7)
        return [envs.step([RIGHT, RIGHT])[0].tolist() for _ in range(40)]

    first = played()
    assert first == played()


def test_steps_can_be_begun_and_waited_for(make):
    envs = make(RemoteVectorEnv, num_envs=2, observation="at", arguments={"at": 2})
    envs.reset()
    envs.step_async([LEFT, RIGHT])
    with pytest.raises(gymnasium.error.AlreadyPendingCallError):
        envs.step_async([LEFT, RIGHT])
    assert envs.step_wait()[0].tolist() == [1, 3]
    with pytest.raises(gymnasium.error.NoAsyncCallError):
        envs.step_wait()
    envs.step_async([LEFT, RIGHT])  # closing waits for it


def test_masks_of_many(make):
    envs = make(RemoteVectorEnv, num_envs=2, arguments=[{"at": 0}, {"at": 5}])
    _, infos = envs.reset()
    assert infos["action_mask"].tolist() == [[False, True, True], [True] * 3]
    assert infos["started"].tolist() == [0, 5]
    assert envs.step([RIGHT, RIGHT])[4]["action_mask"].tolist() == [[True] * 3] * 2


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
@pytest.mark.parametrize("broken", ["step", "told", "reset"])
def test_a_fault_among_many_is_told_and_left_behind(make, mode, broken):
    envs = make(RemoteVectorEnv, num_envs=3, observation="at", autoreset_mode=mode, arguments={"at": 2})
    _, infos = envs.reset()
    envs._arguments.arguments[1] = {"at": 2, "broken": broken}
    envs.reset()
    envs._arguments.arguments[1] = {"at": 2}
    rows = [envs.step([STAY, STAY, STAY]) for _ in range(3)]
    seen, rewards, _, truncations, infos = rows[0]
    assert seen.tolist() == [2, 2, 2]
    assert rows[1][4]["reward_valid"].tolist() == [True, broken == "reset" or mode == "SameStep", True]
    assert np.isnan(rewards).tolist() == [False, True, False]
    assert infos["reward_valid"].tolist() == [True, False, True]
    if broken != "reset":  # else this step was the reset
        assert truncations.tolist() == [False, True, False]
        assert infos["outcome"][1].status == Status.INFRA_FAULT
        assert infos["_outcome"].tolist() == [False, True, False]
    assert envs.faults.total() >= 1
    assert rows[2][1].tolist() == [-0.1] * 3
    assert rows[2][4]["reward_valid"].all()


def test_an_illegal_action_among_many(make):
    envs = make(RemoteVectorEnv, num_envs=2, arguments={"at": 0}, illegal_reward=-1.0)
    envs.reset()
    _, rewards, terminations, _, infos = envs.step([LEFT, RIGHT])
    assert rewards.tolist() == [-1.0, -0.1]
    assert terminations.tolist() == [True, False]
    assert infos["outcome"][0].status == Status.POLICY_FAULT
    assert infos["reward_valid"].all()


def test_a_reset_that_fails_for_all_is_raised(make):
    envs = make(RemoteVectorEnv, num_envs=2)
    with pytest.raises(ExecutionError):
        envs.reset(options={"broken": "reset"})


def test_many_that_are_all_down_are_raised(make):
    envs = make(RemoteVectorEnv, num_envs=2)
    envs.reset()
    envs._arguments.arguments[:] = [{"broken": "step"}] * 2
    envs.reset()
    envs._arguments.arguments[:] = [{"broken": "reset"}] * 2
    envs.step([STAY, STAY])
    with pytest.raises(ExecutionError):
        envs.step([STAY, STAY])


@pytest.mark.slow
def test_who_does_not_answer_is_replaced(make, trouble_url):
    """A session that is still busy with what was given up does not hold up the episodes that follow."""
    envs = RemoteVectorEnv(trouble_url, num_envs=2, message_timeout_s=3.0)
    try:
        seen, _ = envs.reset(options={"trouble": "none", "task": 1})
        envs._arguments.arguments[1] = {"trouble": "step_hangs", "task": 1}
        seen, _ = envs.reset()
        envs._arguments.arguments[1] = {}
        envs.step(seen)
        seen, rewards, *_ = envs.step(envs._batch)
        assert math.isnan(rewards[1])
        seen, rewards, _, _, infos = envs.step(seen)  # both are reset
        assert infos["reward_valid"].tolist() == [False, False]
        _, rewards, *_ = envs.step(seen)
        assert rewards.tolist() == [0.25, 0.25]
    finally:
        envs.close()
    env = RemoteEnv(trouble_url, message_timeout_s=3.0)
    try:
        seen, _ = env.reset(options={"trouble": "step_hangs"})
        seen, *_ = env.step(seen)
        with pytest.raises(BudgetExceededError):
            env.step(seen)
        assert env.reset()[1]["reward_valid"]
    finally:
        env.close()


def test_an_environment_of_gymnasium_comes_back_as_it_was(make):
    pytest.importorskip("gymnasium_env", reason="gymnasium_env is not installed")
    provider = ProcessProvider("gymnasium_env.server.app:app")
    local = gymnasium.make_vec("CartPole-v1", 3, vectorization_mode="sync")
    ours = RemoteVectorEnv(provider, num_envs=3)
    try:
        assert ours.single_observation_space == local.single_observation_space
        assert ours.single_action_space == local.single_action_space
        np.testing.assert_array_equal(ours.reset(seed=5)[0], local.reset(seed=5)[0])
        for turn in range(8):  # before any of them ends: what autoreset draws is another's business
            actions = np.array([turn % 2, 1, 0])
            for mine, wanted in zip(ours.step(actions)[:4], local.step(actions)[:4], strict=True):
                np.testing.assert_array_equal(mine, wanted)
    finally:
        ours.close()
        local.close()


def test_an_array_is_seen_as_it_is(corridor_url):
    pytest.importorskip("atari_env", reason="atari_env is not installed")
    pytest.importorskip("ale_py", reason="ale-py is not installed")
    from atari_env import AtariEnv

    options = {"observation": "screen", "action": "action_id", "action_space": spaces.Discrete(3)}
    envs = RemoteVectorEnv(ProcessProvider("atari_env.server.app:app"), AtariEnv, 2, **options)
    try:
        assert envs.single_observation_space.dtype == np.uint8
        seen, _ = envs.reset(seed=1)
        assert seen.shape == (2, *envs.single_observation_space.shape)
        assert envs.observation_space.contains(envs.step(np.array([0, 1]))[0])
    finally:
        envs.close()
