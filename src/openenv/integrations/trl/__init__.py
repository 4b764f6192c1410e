"""Environments for the trainers of TRL, `GRPOTrainer` and `AsyncGRPOTrainer`."""

from openenv.integrations.trl.environments import EnvironmentFactory, ToolError, environment_factory
from openenv.integrations.trl.rewards import EpisodeReward, reward_func
from openenv.integrations.trl.rollouts import Rollouts, rollout_func, rollout_reward

__all__ = [
    "EnvironmentFactory",
    "EpisodeReward",
    "Rollouts",
    "ToolError",
    "environment_factory",
    "reward_func",
    "rollout_func",
    "rollout_reward",
]
