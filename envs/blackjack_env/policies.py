"""Policies on a blocking client: the best there is, one that always stands, and one that hits until it has lost."""

from typing import Any

from .models import BlackjackAction, BlackjackObservation, Move

EXAMPLE = {"seed": 1}
"""Arguments of a reset after which both policies score the same each time."""

MAX_RETURN: float = 1.0
MIN_RETURN: float = -1.0
ORACLE_EXPECTED: float = -0.046756
"""What the best play earns on average: computed, not sampled; the house wins in the end."""

STAND_EXPECTED: float = -0.182925
"""What standing at once earns on average."""


def best(seen: BlackjackObservation) -> Move:
    """Return the move that wins most in the long run."""
    dealer = seen.dealer_cards[0]
    shown = 11 if dealer == "A" else 10 if dealer in "JQK" else int(dealer)
    if seen.usable_ace:
        stands = seen.player_total >= (19 if shown >= 9 else 18)
    elif shown <= 6:
        stands = seen.player_total >= (12 if shown >= 4 else 13)
    else:
        stands = seen.player_total >= 17
    return "stand" if stands else "hit"


def oracle(env: Any, **reset: Any) -> float:
    """Play one episode as well as can be, and return its reward, which is `ORACLE_EXPECTED` on average.

    Args:
        env: A blocking client.
        **reset: For the reset, such as `seed`.
    """
    result = env.reset(**reset)
    while not result.done:
        result = env.step(BlackjackAction(move=best(result.observation)))
    return float(result.reward)


def stand(env: Any, **reset: Any) -> float:
    """Stand at once, and return the reward, which is `STAND_EXPECTED` on average."""
    env.reset(**reset)
    return float(env.step(BlackjackAction(move="stand")).reward)


def null(env: Any, **reset: Any) -> float:
    """Hit until the episode is lost, and return its reward, which is `MIN_RETURN`."""
    result = env.reset(**reset)
    while not result.done:
        result = env.step(BlackjackAction(move="hit"))
    return float(result.reward)
