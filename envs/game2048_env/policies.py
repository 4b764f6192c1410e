"""Two policies on a blocking client: a strategy that wins about half of its games, and the first legal move."""

from pathlib import Path
from typing import Any

from .models import Game2048Action, RunStrategy

EXAMPLE = {"seed": 1}
"""Arguments of a reset after which both policies score the same each time."""

SNAKE = Path(__file__).with_name("snake.py").read_text(encoding="utf-8")
ORACLE_SCORES: dict[int, float] = {0: 22292.0, 1: 20300.0, 4: 9656.0}
"""What the oracle scores with some seeds; the first two win."""

NULL_EXPECTED: float = 2300.0
"""What the first legal move scores on average."""

MIN_RETURN: float = 0.0


def oracle(env: Any, **reset: Any) -> float:
    """Play one episode with the strategy of `snake.py`, and return the sum of its rewards.

    Args:
        env: A blocking client.
        **reset: For the reset, such as `seed`.
    """
    result = env.reset(**reset)
    total = 0.0
    while not result.done:
        result = env.step(RunStrategy(code=SNAKE, timeout_seconds=30))
        total += result.reward
    return total


def null(env: Any, **reset: Any) -> float:
    """Play one episode with the first legal move each time, and return the sum of its rewards."""
    result = env.reset(**reset)
    total = 0.0
    while not result.done:
        result = env.step(Game2048Action(move=result.observation.legal_actions[0]))
        total += result.reward
    return total
