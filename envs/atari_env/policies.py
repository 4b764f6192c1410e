"""Two policies for Pong on a blocking client: one that plays by the game's memory, and one that does nothing.

The first reaches 21.0 where an action is held for two frames and does not stick (`frame_skip=2, sticky=0`); with
the settings by default it comes too late for most balls. The second always ends at -21.0.
"""

from typing import Any

from .models import AtariAction

EXAMPLE = {"seed": 1}
"""Arguments of a reset after which both policies score the same each time."""

MAX_RETURN: float = 21.0
MIN_RETURN: float = -21.0

NOTHING, UP, DOWN = 0, 2, 3
BALL_X, PADDLE_Y, BALL_Y = 49, 51, 54
"""Where in the memory they are."""


def oracle(env: Any, **reset: Any) -> float:
    """Play one game of Pong by moving to where the ball is.

    Args:
        env: A blocking client.
        **reset: For the reset, such as `seed`.
    """

    def follow(memory: Any) -> int:
        ball, paddle = int(memory[BALL_Y]), int(memory[PADDLE_Y])
        if memory[BALL_X] == 0 or abs(ball - paddle) < 4:
            return NOTHING
        return UP if ball < paddle else DOWN

    return _play(env, follow, reset)


def null(env: Any, **reset: Any) -> float:
    """Play one game of Pong by doing nothing: every ball is lost."""
    return _play(env, lambda memory: NOTHING, reset)


def _play(env: Any, choose: Any, reset: dict[str, Any]) -> float:
    result, total = env.reset(game="pong", observation="ram", **reset), 0.0
    while not result.done:
        result = env.step(AtariAction(action_id=choose(result.observation.screen)))
        total += result.reward
    return total
