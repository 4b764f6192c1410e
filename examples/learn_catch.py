"""Learns catch by policy gradient, through a vector environment of Gymnasium: python examples/learn_catch.py

A ball falls through a grid of ten rows and five columns, and a paddle below is moved left, right or not at all: +1
for a ball that is caught, -1 for one that is not. 64 games are played at the same time, over one connection, by an
actor and a critic of two layers. Chance catches about every fifth ball.

Stated in advance: within 80 updates the mean reward of an episode rises by at least 1.2, with each of three seeds;
that of the control, the same at a learning rate of 0, by less than half of that. Needs torch and gymnasium.
"""

import sys
from typing import Any

import torch
from _learning import Run, judged, parser, served
from gymnasium.spaces import Discrete
from torch import nn

from openenv.integrations.gymnasium import RemoteVectorEnv
from openspiel_env import OpenSpielEnv

ASKED = 1.2
GAMES = 64
TURNS = 10
"""Steps of an update: an episode of nine moves, and the reset after it."""
GAMMA, ENTROPY = 0.97, 0.01


class Player(nn.Module):
    """An actor and a critic on one hidden layer.

    Args:
        size: How many numbers are seen.
        actions: How many actions there are.
    """

    def __init__(self, size: int, actions: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(size, 64), nn.Tanh())
        self.actor, self.critic = nn.Linear(64, actions), nn.Linear(64, 1)

    def forward(
        self, seen: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.distributions.Categorical, torch.Tensor]:
        """Return what to do, of what is legal, and what is expected of it."""
        hidden = self.body(seen)
        scores = self.actor(hidden).masked_fill(~mask, -torch.inf)
        return torch.distributions.Categorical(logits=scores), self.critic(hidden).squeeze(-1)


def train(envs: RemoteVectorEnv, seed: int, learning_rate: float, updates: int) -> Run:
    """Return the mean reward of the episodes of each update, and how many of all episodes broke."""
    torch.manual_seed(seed)
    player = Player(envs.single_observation_space.shape[0], envs.single_action_space.n)
    optimizer = torch.optim.Adam(player.parameters(), lr=learning_rate)
    seen, infos = envs.reset(seed=1000 * seed)
    curve, episodes = [], 0
    for _ in range(updates):
        turns, ended = [], []
        for _ in range(TURNS):
            chosen, expected = player(torch.as_tensor(seen), torch.as_tensor(infos["action_mask"]))
            action = chosen.sample()
            seen, rewards, terminations, truncations, infos = envs.step(action.numpy())
            over, valid = terminations | truncations, infos["reward_valid"]
            ended += rewards[over & valid].tolist()
            episodes += int(over.sum())
            turns.append((chosen.log_prob(action), expected, chosen.entropy(), rewards, over, valid))
        with torch.no_grad():
            _, value = player(torch.as_tensor(seen), torch.as_tensor(infos["action_mask"]))
        loss = loss_of(turns, value)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(sum(ended) / max(len(ended), 1))
    return Run(curve, {"episodes": episodes, **envs.faults})


def loss_of(turns: list[Any], value: torch.Tensor) -> torch.Tensor:
    """Return the loss of an update, from the last turn to the first; what is no transition is left out."""
    losses = []
    for log_prob, expected, entropy, rewards, over, valid in reversed(turns):
        # What is not valid (a fault, a mere reset) has no reward: what came before it goes by what was expected.
        followed = torch.where(torch.as_tensor(over), 0.0, GAMMA * value)
        value = torch.where(torch.as_tensor(valid), torch.as_tensor(rewards).float() + followed, expected.detach())
        advantage = value - expected
        each = advantage**2 - log_prob * advantage.detach() - ENTROPY * entropy
        losses.append(each[torch.as_tensor(valid)])
    return torch.cat(losses).mean()


def main() -> int:
    """Learn, and return 0 if it went as stated."""
    flags = parser(__doc__, steps=80, learning_rate=1e-2, generations=GAMES, batch=GAMES).parse_args()
    options = {"observation": "info_state", "action_space": Discrete(3), "arguments": {"text": False}}
    game = "openspiel_env.server.openspiel_environment:OpenSpielEnvironment"
    with served(flags, game, "openspiel_env.server.app:app") as url:

        def run(seed: int, learning_rate: float) -> Run:
            envs = RemoteVectorEnv(url, OpenSpielEnv, flags.batch, **options)
            try:
                return train(envs, seed, learning_rate, flags.steps)
            finally:
                envs.close()

        return judged("catch", flags, run, ASKED)


if __name__ == "__main__":
    sys.exit(main())
