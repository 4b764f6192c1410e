"""Two policies on a blocking client: one that looks ahead, and one that does not look."""

import random
from typing import Any

import chess

from .models import ChessAction
from .server.search import best_move

EXAMPLE = {"seed": 1}
"""Arguments of a reset after which both policies score the same each time."""

MAX_RETURN: float = 1.0
MIN_RETURN: float = -1.0


def oracle(env: Any, **reset: Any) -> float:
    """Play one game by looking three half-moves ahead: 1.0 against `random`.

    Args:
        env: A blocking client.
        **reset: For the reset, such as `seed` or `opponent`.
    """
    draw = random.Random(0)
    return _play(env, lambda seen: best_move(chess.Board(seen.fen), 3, draw).uci(), reset)


def null(env: Any, **reset: Any) -> float:
    """Play one game by the first of the legal moves, always: no win, mostly a game that is cut off or drawn."""
    return _play(env, lambda seen: seen.legal_moves[0], reset)


def _play(env: Any, choose: Any, reset: dict[str, Any]) -> float:
    result, total = env.reset(**reset), 0.0
    while not result.done:
        result = env.step(ChessAction(move=choose(result.observation)))
        total += result.reward
    return total
