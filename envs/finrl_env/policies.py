"""Three policies for the shipped prices on a blocking client, with what they are known to earn."""

from typing import Any

import numpy as np

from .models import FinRLAction
from .server.market import SHIPPED, load

MAX_RETURN: float = 97.07787206
"""What `oracle` earns; a better one could earn a little more."""
AHEAD = 40
"""Days that it looks ahead."""
COSTS = 0.002
"""Of buying and selling, by default, as a share of the price."""
HELD_RETURN: float = 7.951810126
"""What `hold` earns."""
MIN_RETURN: float = 0.0
"""What `null` earns; other policies lose money."""


def oracle(env: Any, **reset: Any) -> float:
    """Play one episode knowing what is to come: buy what will rise by more than it costs, sell what will fall.

    Args:
        env: A blocking client.
        **reset: For the reset.
    """
    market = load(SHIPPED)

    def choose(date: str) -> np.ndarray:
        today = market.dates.index(date)
        then = min(today + AHEAD, len(market.dates) - 1)
        rise = market.prices[then] / market.prices[today] - 1
        return np.where(rise > COSTS, 1.0, np.where(rise < -COSTS, -1.0, 0.0))

    return _play(env, choose, reset)


def hold(env: Any, **reset: Any) -> float:
    """Play one episode by buying every stock, as long as there is cash, and keeping it."""
    return _play(env, lambda date: np.ones(len(load(SHIPPED).tickers)), reset)


def null(env: Any, **reset: Any) -> float:
    """Play one episode by keeping the cash: exactly 0.0."""
    return _play(env, lambda date: np.zeros(len(load(SHIPPED).tickers)), reset)


def _play(env: Any, choose: Any, reset: dict[str, Any]) -> float:
    result, total = env.reset(**reset), 0.0
    while not result.done:
        result = env.step(FinRLAction(actions=choose(result.observation.date)))
        total += result.reward
    return total
