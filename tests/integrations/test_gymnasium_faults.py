"""What a trainer gets of Gymnasium's environments when numbers are missing, or the server is."""

import math
import os
import signal
import socket

import pytest

pytest.importorskip("gymnasium", reason="gymnasium is not installed (extra: gymnasium)")

import numpy as np
from gymnasium.wrappers.vector import NormalizeReward

from openenv.errors import ConnectionFailedError, RequestError
from openenv.integrations.gymnasium import RemoteEnv, RemoteVectorEnv, waiting
from openenv.outcomes import Cause
from openenv.providers import ProcessProvider

STAY, RIGHT = 1, 2
MODES = pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])


class Clock:
    """A time that passes in pauses only, each of which is a call of a function."""

    def __init__(self, pause):
        self.now, self.pause = 0.0, pause

    def sleep(self, seconds):
        self.now += seconds
        self.pause(seconds)

    def monotonic(self):
        return self.now


@pytest.fixture
def server():
    """A provider that starts the corridor again and again at the same address."""
    provider = ProcessProvider("tests.integrations.games:corridor")
    with socket.socket() as free:
        free.bind(provider.address)
        provider.address = free.getsockname()
    provider.start()
    provider.wait_for_ready()
    yield provider
    provider.stop()


# --- both ends at once ------------------------------------------------------------------------------------


def test_an_end_by_the_rules_at_the_limit_is_both(corridor_url):
    env = RemoteEnv(corridor_url, observation="at", arguments={"at": 5, "limit": 1})
    env.reset()
    assert env.step(RIGHT)[1:4] == (1.0, True, True)
    env.close()


@MODES
def test_an_end_by_the_rules_at_the_limit_is_both_among_many(corridor_url, mode):
    arguments = [{"at": 5, "limit": 1}, {"at": 4, "limit": 1}]
    envs = RemoteVectorEnv(corridor_url, num_envs=2, observation="at", arguments=arguments, autoreset_mode=mode)
    envs.reset()
    _, _, terminations, truncations, _ = envs.step([RIGHT, RIGHT])
    assert (terminations.tolist(), truncations.tolist()) == ([True, False], [True, True])
    envs.close()


# --- the number of a fault --------------------------------------------------------------------------------


@MODES
def test_the_reward_of_a_fault_can_be_a_number_that_no_mean_is_spoiled_by(corridor_url, mode):
    arguments = [{"at": 2}, {"at": 2, "broken": "step"}]
    options = {"num_envs": 2, "arguments": arguments, "autoreset_mode": mode, "fault_reward": 0.0}
    envs = NormalizeReward(RemoteVectorEnv(corridor_url, **options))
    envs.reset()
    for _ in range(5):
        _, rewards, _, _, infos = envs.step([STAY, STAY])
        assert np.isfinite(rewards).all()
        assert not infos["reward_valid"][1]
    assert rewards[0] < 0
    envs.close()


def test_one_alone_has_that_number_too(corridor_url):
    env = RemoteEnv(corridor_url, arguments={"broken": "step"}, faults="truncate", fault_reward=0.0)
    env.reset()
    _, reward, terminated, truncated, info = env.step(STAY)
    assert (reward, terminated, truncated, info["reward_valid"]) == (0.0, False, True, False)
    env.close()


# --- a server that is away --------------------------------------------------------------------------------


def test_one_whose_server_is_gone_goes_on_with_faults_until_it_is_back(server):
    env = RemoteEnv(server.base_url, observation="at", faults="truncate")
    env.reset()
    server.stop()
    for _ in range(2):
        _, reward, _, truncated, info = env.step(STAY)
        assert (math.isnan(reward), truncated, info["reward_valid"]) == (True, True, False)
        _, info = env.reset()
        assert (info["outcome"].cause, info["reward_valid"]) == (Cause.SESSION_LOST, False)
    server.start()
    server.wait_for_ready()
    assert env.reset()[1]["reward_valid"]
    assert env.step(STAY)[1] == -0.1
    env.close()


def test_one_that_is_to_raise_raises_what_it_was(server):
    env = RemoteEnv(server.base_url, observation="at")
    server.stop()
    with pytest.raises(ConnectionFailedError):
        env.reset()
    assert env.faults == {"session_lost": 1}
    env.close()


@pytest.mark.slow
@pytest.mark.parametrize("end", ["stops", "is killed"])
@MODES
def test_many_wait_for_a_server_that_restarts(server, mode, end, monkeypatch):
    def pause(seconds):
        paused.append(seconds)
        if len(paused) == 1:
            server.start()
            server.wait_for_ready()

    paused = []
    monkeypatch.setattr(waiting, "time", Clock(pause))
    options = {"observation": "at", "arguments": {"at": 2}, "autoreset_mode": mode, "message_timeout_s": 2.0}
    envs = RemoteVectorEnv(server.base_url, num_envs=2, **options)
    envs.reset()
    if end == "is killed":
        os.killpg(server.pid, signal.SIGKILL)
    server.stop()
    _, rewards, _, truncations, infos = envs.step([STAY, STAY])
    assert np.isnan(rewards).all()
    assert truncations.all()
    assert not infos["reward_valid"].any()
    if mode == "Disabled":
        seen, infos = envs.reset()
        assert infos["reward_valid"].all()
    else:  # the step is the reset
        seen, _, _, truncations, infos = envs.step([STAY, STAY])
        assert not (infos["reward_valid"] | truncations).any()
    assert seen.tolist() == [2, 2]
    assert envs.step([STAY, STAY])[1].tolist() == [-0.1, -0.1]
    assert paused
    envs.close()


def test_many_wait_no_longer_than_was_said(server, monkeypatch):
    paused = []
    monkeypatch.setattr(waiting, "time", Clock(paused.append))
    envs = RemoteVectorEnv(server.base_url, num_envs=2, observation="at", wait_s=2.0)
    envs.reset()
    server.stop()
    envs.step([STAY, STAY])
    with pytest.raises(RequestError):
        envs.step([STAY, STAY])
    assert paused == [0.25, 0.5, 1.0]
    envs.close()
