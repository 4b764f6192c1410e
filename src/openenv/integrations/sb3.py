"""Environments for Stable-Baselines3: `RemoteVecEnv` over a vector client, and buffers that leave faults out.

Stable-Baselines3 has no place for a transition that is none. A fault comes to it with the reward NaN, so that it
cannot be learned from unseen; `faultless()` gives the algorithm a buffer that leaves it out.
"""

from __future__ import annotations

from typing import Any

from openenv.integrations import needs

with needs("stable_baselines3", "sb3"):
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.buffers import DictReplayBuffer, DictRolloutBuffer, ReplayBuffer, RolloutBuffer
    from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
    from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_normalize

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import iterate

from openenv.errors import ConfigurationError
from openenv.integrations.gymnasium import RemoteVectorEnv

__all__ = ["DropsFaults", "LeavesFaultsOut", "RemoteVecEnv", "faultless"]


class RemoteVecEnv(VecEnv):  # type: ignore[misc]
    """Sessions of an environment as a `VecEnv`.

    ```python
    envs = RemoteVecEnv("http://localhost:8000", MyEnv, 64)
    model = PPO("MlpPolicy", envs, **faultless(PPO, envs))
    model.learn(100_000)
    ```

    An `info` has what `RemoteVectorEnv` tells of that environment, and `episode` with the return and the length of
    an episode that has ended well, so no `VecMonitor` is needed; one would count faults.

    Args:
        *args: Those of `RemoteVectorEnv`.
        **options: Likewise, but for `autoreset_mode` and `fault_reward`: nothing here looks at `reward_valid`.

    Attributes:
        envs: The `RemoteVectorEnv`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        if "fault_reward" in options:
            raise ConfigurationError(
                "Stable-Baselines3 would learn from fault_reward; leave faults out by faultless()"
            )
        self.envs = RemoteVectorEnv(*args, **options, autoreset_mode=AutoresetMode.SAME_STEP)
        self._returns, self._lengths = np.zeros((2, self.envs.num_envs))
        self.render_mode = None
        super().__init__(self.envs.num_envs, self.envs.single_observation_space, self.envs.single_action_space)

    def reset(self) -> Any:
        """Start an episode in each environment, with the seeds and options that were set."""
        given = self._seeds if any(seed is not None for seed in self._seeds) else None
        options = next((options for options in self._options if options), None)
        seen, infos = self.envs.reset(seed=given, options=options)
        self._reset_seeds()
        self._reset_options()
        self._returns[:] = self._lengths[:] = 0
        self.reset_infos = self._split(infos)
        return seen

    def step_async(self, actions: np.ndarray[Any, Any]) -> None:
        """Begin a step in each environment."""
        self.envs.step_async(actions)

    def step_wait(self) -> tuple[Any, np.ndarray[Any, Any], np.ndarray[Any, Any], list[dict[str, Any]]]:
        """Return what is seen, the rewards, which episodes have ended, and infos."""
        seen, rewards, terminations, truncations, told = self.envs.step_wait()
        valid = told["reward_valid"]
        # A step that is none ends what came before it: nothing is to be learned across it.
        dones = terminations | truncations | ~valid
        infos = self._split(told)
        self._returns += rewards
        self._lengths += 1
        for index in np.flatnonzero(dones):
            info = infos[index]
            last = info.pop("final_obs", None)
            info["TimeLimit.truncated"] = bool((truncations & ~terminations & valid)[index])
            info["terminal_observation"] = self._at(seen, index) if last is None else last
            if not np.isnan(self._returns[index]):
                info["episode"] = {"r": self._returns[index], "l": int(self._lengths[index]), "t": 0.0}
        self._returns[dones] = self._lengths[dones] = 0
        return seen, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        """End the sessions, and the server if it was started for them."""
        self.envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return what all of them have in common."""
        value = self.env_method if attr_name == "action_masks" else getattr(self.envs, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: the environments are elsewhere."""
        raise NotImplementedError("The environments are elsewhere: their attributes cannot be set")

    def env_method(self, method_name: str, *_args: Any, indices: Any = None, **_kwargs: Any) -> list[Any]:
        """Return `action_masks`, which `MaskablePPO` of sb3-contrib asks for; there is no other method."""
        if method_name != "action_masks":
            raise NotImplementedError(f"The environments are elsewhere: {method_name} cannot be called")
        masks = self.envs.action_masks()
        return [masks[index] for index in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Return that none is wrapped."""
        return [False for _ in self._get_indices(indices)]

    def _split(self, told: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the infos of Gymnasium's vector form one by one."""
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for key, values in told.items():
            if f"_{key}" not in told:
                continue
            parts = self._split(values) if isinstance(values, dict) else values
            for index in np.flatnonzero(told[f"_{key}"]):
                infos[index][key] = parts[index]
        return infos

    def _at(self, seen: Any, index: Any) -> Any:
        return list(iterate(self.envs.observation_space, seen))[index]


# --- leaving faults out ----------------------------------------------------------------------------------


class LeavesFaultsOut:
    """Makes a rollout buffer leave out transitions whose reward is NaN; to be put before its class.

    What came before such a transition is learned from as if the episode had been cut off there: to that the reward
    is what the critic expected, so that nothing is to be gained or lost by it.
    """

    def reset(self) -> None:
        """Forget all."""
        self.kept: Any = np.ones((self.buffer_size, self.n_envs), dtype=np.bool_)  # type: ignore[attr-defined]
        super().reset()  # type: ignore[misc]

    def add(
        self, obs: Any, action: Any, reward: Any, episode_start: Any, value: Any, *rest: Any, **more: Any
    ) -> None:
        """Add a transition of each environment."""
        kept = self.kept[self.pos] = ~np.isnan(reward)  # type: ignore[attr-defined]
        expected = value.clone().cpu().numpy().flatten()
        reward = np.where(kept, reward, expected)
        super().add(obs, action, reward, episode_start, value, *rest, **more)  # type: ignore[misc]

    def _get_samples(self, batch_inds: Any, env: Any = None) -> Any:
        kept = batch_inds[self.kept.swapaxes(0, 1).reshape(-1)[batch_inds]]
        return super()._get_samples(kept if len(kept) else batch_inds, env)  # type: ignore[misc]


class DropsFaults:
    """Makes a replay buffer drop transitions whose reward is NaN; to be put before its class.

    One transition of each environment is stored at a time, so another one is stored twice in its place.
    """

    def add(
        self, obs: Any, next_obs: Any, action: Any, reward: Any, done: Any, infos: list[dict[str, Any]]
    ) -> None:
        """Add a transition of each environment."""
        kept = ~np.isnan(reward)
        if not kept.any():
            return
        taken = np.where(kept, np.arange(len(reward)), np.flatnonzero(kept)[0])
        columns = (_columns(each, taken) for each in (obs, next_obs, action, reward, done))
        super().add(*columns, [infos[place] for place in taken])  # type: ignore[misc]


def _columns(values: Any, taken: Any) -> Any:
    return {key: each[taken] for key, each in values.items()} if isinstance(values, dict) else values[taken]


class FaultlessRolloutBuffer(LeavesFaultsOut, RolloutBuffer):  # type: ignore[misc]
    """A `RolloutBuffer` without faults."""


class FaultlessDictRolloutBuffer(LeavesFaultsOut, DictRolloutBuffer):  # type: ignore[misc]
    """A `DictRolloutBuffer` without faults."""


class FaultlessReplayBuffer(DropsFaults, ReplayBuffer):  # type: ignore[misc]
    """A `ReplayBuffer` without faults."""


class FaultlessDictReplayBuffer(DropsFaults, DictReplayBuffer):  # type: ignore[misc]
    """A `DictReplayBuffer` without faults."""


def faultless(algorithm: type[BaseAlgorithm], envs: VecEnv) -> dict[str, Any]:
    """Return the options with which an algorithm leaves faults out.

    Args:
        algorithm: Its class, such as `PPO` or `DQN`.
        envs: What it will learn from.

    Raises:
        ConfigurationError: A `VecNormalize` normalises rewards: one NaN would make all that follow NaN.
    """
    normalize = unwrap_vec_normalize(envs)
    if normalize is not None and normalize.norm_reward:
        raise ConfigurationError(
            "VecNormalize takes the reward of a fault, NaN, into its mean, and all later rewards would be NaN: "
            "use VecNormalize(..., norm_reward=False)"
        )
    nested = isinstance(envs.observation_space, spaces.Dict)
    if issubclass(algorithm, OnPolicyAlgorithm):
        return {"rollout_buffer_class": FaultlessDictRolloutBuffer if nested else FaultlessRolloutBuffer}
    return {"replay_buffer_class": FaultlessDictReplayBuffer if nested else FaultlessReplayBuffer}
