"""Unsloth, and TRL alike: the model writes `strategy(board)`, and its reward is what that scores in 2048.

    trainer = GRPOTrainer(model, reward_funcs=[strategy_works], train_dataset=dataset, args=config)

The strategy is run by game2048_env, in a workspace that holds it and under a time limit; none of it runs here.
"""

import re
from collections.abc import Sequence
from typing import Any

from game2048_env import Game2048Env, RunStrategy
from openenv.rollouts import Episodes

PROMPT = (
    "Write a short strategy for the game 2048 as a Python function `strategy(board)`: `board` is a list of rows, "
    "0 for an empty field; it returns W, A, S or D. Answer with one block of Python and nothing else."
)
SECONDS = 5.0
NO_FUNCTION = -2.0
FAILED = -1.0

_BLOCK = re.compile(r"```(?:python)?\n(.*?)```", re.DOTALL)


class StrategyReward:
    """A reward function: a strategy that fails at once is worth -1, others what they score, in thousands.

    Args:
        where: Address of a server of game2048_env, or a provider.
        seconds: Each strategy may take, for all of its moves together.
    """

    __name__ = "strategy_works"

    def __init__(self, where: Any, seconds: float = SECONDS) -> None:
        self.episodes = Episodes(where, Game2048Env, timeout_s=seconds + 30)
        self._seconds = seconds

    def __call__(
        self, completions: Sequence[Any], seed: Sequence[int] | None = None, **columns: Any
    ) -> list[float | None]:
        """Return the rewards; None for one that broke, so that nothing is learned from it."""
        codes = [code_of(completion) for completion in completions]
        seeds = seed or [0] * len(codes)
        played = [self.episodes.begin(seed=s) if code else None for code, s in zip(codes, seeds, strict=True)]
        steps = [
            one and one[0].step(RunStrategy(code=str(code), timeout_seconds=self._seconds))
            for one, code in zip(played, codes, strict=True)
        ]
        rewards = [step and _reward(step.result()) for step in steps]
        for one in played:
            if one is not None:
                one[0].end()
        return [NO_FUNCTION if step is None else reward for step, reward in zip(steps, rewards, strict=True)]


def code_of(completion: Any) -> str | None:
    """Return the code in a completion, a text or a list of messages; None if there is no `strategy` in it."""
    text = completion if isinstance(completion, str) else completion[-1]["content"]
    found = _BLOCK.findall(text) or [text]
    return found[-1] if "def strategy(" in found[-1] else None


def _reward(turn: Any) -> float | None:
    if turn.observation is None or turn.reward is None:
        return None
    report = turn.observation.strategy
    return FAILED if report.moves == 0 else turn.reward / 1000
