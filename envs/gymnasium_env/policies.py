"""Two policies for `CartPole-v1` on a blocking client: one that balances the pole, and one that does nothing."""

from typing import Any

from .models import GymnasiumAction

EXAMPLE = {"seed": 1}
"""Arguments of a reset after which both policies score the same each time."""

MAX_RETURN: float = 500.0
MIN_RETURN: float = 1.0


def oracle(env: Any, **reset: Any) -> float:
    """Play one episode by pushing to the side that the pole falls to: 500.0, the most there is.

    Args:
        env: A blocking client.
        **reset: For the reset, such as `seed`.
    """

    def balance(place: float, speed: float, angle: float, turning: float) -> int:
        return int(0.1 * place + 0.3 * speed + 3.0 * angle + turning > 0)

    return _play(env, lambda seen: balance(*seen), reset)


def null(env: Any, **reset: Any) -> float:
    """Play one episode by pushing to the left, always: 8.0 to 11.0."""
    return _play(env, lambda seen: 0, reset)


def _play(env: Any, choose: Any, reset: dict[str, Any]) -> float:
    result, total = env.reset(**reset), 0.0
    while not result.done:
        result = env.step(GymnasiumAction(action=choose(result.observation.observation)))
        total += result.reward
    return total
