"""Learns catch with PyTorch Lightning: python examples/lightning_catch.py [--no-sandbox]

A template: a LightningModule whose data are episodes that it plays itself, many at a time through a vector client.
`training_step` gets what one round of episodes gave. Needs pytorch-lightning and gymnasium.
"""

import argparse
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as lightning
import torch
from gymnasium.spaces import Discrete
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from openenv.integrations.gymnasium import RemoteVectorEnv
from openenv.providers import ProcessProvider, SandboxProvider
from openspiel_env import OpenSpielEnv

GAMES, MOVES, ROUNDS = 64, 9, 120


class Rounds(IterableDataset[dict[str, torch.Tensor]]):
    """Rounds of episodes, played by a policy as it is when a round begins.

    Args:
        envs: The environments; their episodes all have as many moves.
        policy: Returns the logits of what to do.
        count: How many rounds.
    """

    def __init__(self, envs: RemoteVectorEnv, policy: nn.Module, count: int) -> None:
        self.envs, self.policy, self.count = envs, policy, count

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        for number in range(self.count):
            yield self.round(number)

    @torch.no_grad()
    def round(self, number: int) -> dict[str, torch.Tensor]:
        """Return what was seen and done, and what came of it, of episodes in which nothing broke."""
        seen, infos = self.envs.reset(seed=GAMES * number)
        observations, actions = [], []
        returns, sound = torch.zeros(GAMES), torch.as_tensor(infos["reward_valid"])
        for _ in range(MOVES):
            observations.append(torch.as_tensor(seen))
            actions.append(torch.distributions.Categorical(logits=self.policy(observations[-1])).sample())
            seen, rewards, _, _, infos = self.envs.step(actions[-1].numpy())
            returns += torch.as_tensor(rewards)
            sound &= torch.as_tensor(infos["reward_valid"])
        return {
            "seen": torch.stack(observations)[:, sound].flatten(0, 1),
            "actions": torch.stack(actions)[:, sound].flatten(),
            "returns": returns[sound].repeat(MOVES),
        }


class Catcher(lightning.LightningModule):
    """A policy, and REINFORCE with the mean return as the baseline."""

    def __init__(self, envs: RemoteVectorEnv, learning_rate: float = 1e-2) -> None:
        super().__init__()
        self.envs, self.learning_rate = envs, learning_rate
        size, actions = envs.single_observation_space.shape[0], envs.single_action_space.n
        self.policy = nn.Sequential(nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, actions))
        self.curve: list[float] = []

    def train_dataloader(self) -> DataLoader[Any]:
        """Play; a round is a batch already."""
        return DataLoader(Rounds(self.envs, self.policy, ROUNDS), batch_size=None)

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        """Return the loss of a round."""
        chosen = torch.distributions.Categorical(logits=self.policy(batch["seen"]))
        advantage = batch["returns"] - batch["returns"].mean()
        advantage = advantage / (advantage.std() + 1e-6)
        self.curve.append(batch["returns"].mean().item())
        return -(chosen.log_prob(batch["actions"]) * advantage).mean() - 0.01 * chosen.entropy().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return torch.optim.Adam(self.policy.parameters(), lr=self.learning_rate)


def main() -> int:
    """Learn, and return 0 if the last rounds are better than the first by 0.8."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    provider = ProcessProvider() if parser.parse_args().no_sandbox else SandboxProvider()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    torch.set_num_threads(1)
    lightning.seed_everything(1)
    options: dict[str, Any] = {
        "observation": "info_state",
        "action_space": Discrete(3),
        "arguments": {"text": False},
    }
    envs = RemoteVectorEnv(provider, OpenSpielEnv, GAMES, autoreset_mode="Disabled", **options)
    catcher = Catcher(envs)
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="auto",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    try:
        trainer.fit(catcher)
    finally:
        envs.close()
    for first in range(0, ROUNDS, 20):
        part = catcher.curve[first : first + 20]
        print(f"rounds {first + 1:3} to {first + 20:3}: mean return {sum(part) / len(part):+.2f}")
    rise = sum(catcher.curve[-10:]) / 10 - sum(catcher.curve[:10]) / 10
    print(f"It has risen by {rise:+.2f}; at least +0.80 was asked for.")
    return 0 if rise >= 0.8 else 1


if __name__ == "__main__":
    sys.exit(main())
