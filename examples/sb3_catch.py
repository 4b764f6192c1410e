"""Learns catch with PPO of Stable-Baselines3: python examples/sb3_catch.py [--no-sandbox]

32 games in one process of their own, stepped together over one connection. Needs stable-baselines3.
"""

import argparse

import torch
from gymnasium.spaces import Discrete
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy

from openenv.integrations.gymnasium import RemoteEnv
from openenv.integrations.sb3 import RemoteVecEnv, faultless
from openenv.providers import ProcessProvider, SandboxProvider
from openspiel_env import OpenSpielEnv

GAMES = 32
SHOWN = {"observation": "info_state", "action_space": Discrete(3), "arguments": {"text": False}}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    provider = ProcessProvider() if parser.parse_args().no_sandbox else SandboxProvider()
    torch.set_num_threads(1)
    envs = RemoteVecEnv(provider, OpenSpielEnv, GAMES, **SHOWN)
    # One more session on the same server, to see how well it plays.
    single = RemoteEnv(envs.envs.client.base_url, OpenSpielEnv, **SHOWN)
    try:
        rates = {"learning_rate": 3e-3, "n_steps": 36, "batch_size": 288, "n_epochs": 4, "ent_coef": 0.01}
        model = PPO("MlpPolicy", envs, device="cpu", seed=1, **rates, **faultless(PPO, envs))
        for _ in range(6):
            print(f"{model.num_timesteps:6} steps: mean reward {score(model, single):+.2f}", flush=True)
            model.learn(2 * 36 * GAMES, reset_num_timesteps=False)
        print(f"{model.num_timesteps:6} steps: mean reward {score(model, single):+.2f}")
    finally:
        single.close()
        envs.close()


def score(model: PPO, env: RemoteEnv) -> float:
    """Return the mean reward of 50 episodes."""
    env.reset(seed=1)
    return float(evaluate_policy(model, env, n_eval_episodes=50, warn=False)[0])


if __name__ == "__main__":
    main()
