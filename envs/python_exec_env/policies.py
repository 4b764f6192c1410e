"""Two ways to play an episode: one program that works, or one that never ends. They bound what a step can earn."""

from typing import Any

from .models import RunCodeAction

MAX_STEPS = 20
MAX_RETURN = 20.0
MIN_RETURN = -20.0


def oracle(env: Any) -> float:
    """Run programs that work until the episode is cut off, and return the sum of the rewards."""
    return _play(env, RunCodeAction(code="print(6 * 7)"))


def null(env: Any) -> float:
    """Run programs whose time is up at once, and return the sum of the rewards."""
    return _play(env, RunCodeAction(code="while True: pass", timeout_seconds=0.1))


def _play(env: Any, action: RunCodeAction) -> float:
    env.reset()
    total = 0.0
    for _ in range(MAX_STEPS):
        result = env.step(action)
        total += result.reward
        if result.done:
            break
    return total
