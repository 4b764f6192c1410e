"""Step 64 games of catch through Gymnasium's vector interface: `gym_catch.py KIND COUNT [URL]`.

KIND is `adapter` or `adapter2`, over a server of one or two processes at the URL, or one of this process's own:
`masked`, the game as somebody would write it for Gymnasium, with the legal actions in the info, since the adapter
tells them; `bare`, without them; `async`, the former in a process each; `class`, the environment class that is
served. Says `ready` before the first round.
"""

from __future__ import annotations

import sys
from time import perf_counter
from typing import Any

import gymnasium
import numpy as np
import orders
import pyspiel
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

CELLS, ACTIONS = 50, 3


class Bare(gymnasium.Env[Any, Any]):
    """Catch, and nothing else."""

    observation_space, action_space = Box(-np.inf, np.inf, (CELLS,), np.float32), Discrete(ACTIONS)

    def __init__(self) -> None:
        self.game = pyspiel.load_game("catch")

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.position = self.game.new_initial_state()
        outcomes = self.position.chance_outcomes()
        self.position.apply_action(outcomes[self.np_random.integers(len(outcomes))][0])
        return self.seen(), self.info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.position.apply_action(int(action))
        return self.seen(), self.position.rewards()[0], self.position.is_terminal(), False, self.info()

    def seen(self) -> Any:
        return np.array(self.position.observation_tensor(0), np.float32)

    def info(self) -> dict[str, Any]:
        return {}


class Masked(Bare):
    """The same, with the legal actions."""

    def info(self) -> dict[str, Any]:
        mask = np.zeros(ACTIONS, bool)
        if not self.position.is_terminal():
            mask[self.position.legal_actions()] = True
        return {"action_mask": mask}


class Same(Bare):
    """The environment class that the server serves, in this process."""

    def __init__(self) -> None:
        from openspiel_env import OpenSpielAction
        from openspiel_env.server.openspiel_environment import OpenSpielEnvironment

        self.environment, self.actions = OpenSpielEnvironment(text=False), OpenSpielAction

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return self.told(self.environment.reset(seed=seed))[0], {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        seen, info = self.told(result := self.environment.step(self.actions(action_id=int(action))))
        return seen, float(result.reward or 0.0), result.done, False, info

    def told(self, result: Any) -> tuple[Any, dict[str, Any]]:
        mask = np.zeros(ACTIONS, bool)
        mask[result.legal_actions] = True
        return np.array(result.info_state, np.float32), {"action_mask": mask}


def made(kind: str, count: int, url: str) -> VectorEnv[Any, Any, Any]:
    """Return the vector environment of a kind."""
    if kind.startswith("adapter"):
        from openenv.integrations.gymnasium import RemoteVectorEnv
        from openspiel_env import OpenSpielEnv

        return RemoteVectorEnv(
            url,
            OpenSpielEnv,
            count,
            observation="info_state",
            action_space=Discrete(ACTIONS),
            arguments={"text": False},
            connections=int(kind.removeprefix("adapter") or 1),  # one for each server process
        )
    if kind == "async":
        return AsyncVectorEnv([Masked] * count)
    return SyncVectorEnv([{"bare": Bare, "masked": Masked, "class": Same}[kind]] * count)


def check(seen: Any, count: int) -> None:
    """Make sure that what is measured works: in each grid there are a ball and a paddle."""
    if seen.shape != (count, CELLS) or seen.dtype != np.float32 or (seen.sum(axis=1) != 2).any():
        raise SystemExit(f"A step gave a wrong answer: {seen!r:.1000}")


kind, games = sys.argv[1], int(sys.argv[2])
envs = made(kind, games, sys.argv[3] if len(sys.argv) > 3 else "")
try:
    envs.reset(seed=0)
    stay = np.ones(games, np.int64)
    check(envs.step(stay)[0], games)
    orders.say("ready")
    while (seconds := orders.read()) is not None:
        begun, done = perf_counter(), 0
        while perf_counter() < begun + seconds:
            envs.step(stay)
            done += games
        orders.report(done, perf_counter() - begun)
finally:
    envs.close()
