"""Two policies on a blocking client: the shortest way, and one that runs against a wall."""

from typing import Any

from .models import GridWorldAction, GridWorldObservation, Move

EXAMPLE = {"seed": 1}
"""Arguments of a reset after which both policies score the same each time."""

MAX_RETURN: float = 1.0
"""With the goal next to the agent; every further field costs 0.1."""

MIN_RETURN: float = -2.0
"""After twenty steps on a grid of five rows."""


OPPOSITE: dict[Move, Move] = {"up": "down", "down": "up", "left": "right", "right": "left"}


def shortest(seen: GridWorldObservation) -> Move:
    """Return a move that leads nearer to the goal."""
    if seen.row != seen.goal_row:
        return "down" if seen.row < seen.goal_row else "up"
    return "right" if seen.column < seen.goal_column else "left"


def distance(seen: GridWorldObservation) -> int:
    """Return how many steps it is to the goal."""
    return abs(seen.row - seen.goal_row) + abs(seen.column - seen.goal_column)


def oracle(env: Any, **reset: Any) -> float:
    """Play one episode the shortest way, and return the sum of its rewards: 1.1 less 0.1 for each step.

    Args:
        env: A blocking client.
        **reset: For the reset, such as `seed`.
    """
    result = env.reset(**reset)
    total = 0.0
    while not result.done:
        result = env.step(GridWorldAction(move=shortest(result.observation)))
        total += result.reward
    return total


def null(env: Any, **reset: Any) -> float:
    """Play one episode by going away from the goal, or against a wall, and return the sum of its rewards."""
    result = env.reset(**reset)
    move = OPPOSITE[shortest(result.observation)]
    total = 0.0
    while not result.done:
        result = env.step(GridWorldAction(move=move))
        total += result.reward
    return total
