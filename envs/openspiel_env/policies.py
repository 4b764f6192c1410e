"""Policies on a blocking client: for catch, one that always catches and one that stands still; and for cliffs."""

from typing import Any

from .models import OpenSpielAction

EXAMPLE = {"seed": 1}
"""Arguments of a reset after which both policies score the same each time."""

COLUMNS = 5
LEFT, STAY, RIGHT = 0, 1, 2
MAX_RETURN: float = 1.0
MIN_RETURN: float = -1.0
NULL_EXPECTED: float = -0.6
"""What standing still earns on average: the ball falls on the paddle in one of five columns."""

AROUND_THE_CLIFF = (1, *[0] * 7, 3)
CLIFF_RETURN: float = -9.0


def oracle(env: Any, **reset: Any) -> float:
    """Play one episode of catch and return its reward, which is `MAX_RETURN`.

    Args:
        env: A blocking client.
        **reset: For the reset, such as `seed`.
    """
    result = env.reset(game_name="catch", **reset)
    total = 0.0
    while not result.done:
        seen = result.observation.info_state
        ball = seen.index(1.0) % COLUMNS
        paddle = seen.index(1.0, len(seen) - COLUMNS) % COLUMNS
        move = LEFT if ball < paddle else RIGHT if ball > paddle else STAY
        result = env.step(OpenSpielAction(action_id=move))
        total += result.reward
    return total


def null(env: Any, **reset: Any) -> float:
    """Play one episode of catch without moving, and return its reward."""
    return _play(env, [STAY] * 20, game_name="catch", **reset)


def around_the_cliff(env: Any, **reset: Any) -> float:
    """Play cliff walking by the shortest way, and return the sum of its rewards, which is `CLIFF_RETURN`."""
    return _play(env, AROUND_THE_CLIFF, game_name="cliff_walking", **reset)


def _play(env: Any, moves: Any, **reset: Any) -> float:
    env.reset(**reset)
    total = 0.0
    for move in moves:
        result = env.step(OpenSpielAction(action_id=move))
        total += result.reward
        if result.done:
            break
    return total
