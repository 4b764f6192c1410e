"""Penalties as transforms: an environment has those that it is made with, and none by default."""

from __future__ import annotations

from openenv.environment import Transform

from ..models import CodeObservation

_NO_PYTHON = ("SyntaxError", "IndentationError", "TabError")


class SyntaxPenalty(Transform[CodeObservation]):
    """Takes something off the reward of code that is no Python.

    Args:
        amount: How much.
    """

    def __init__(self, amount: float = 0.1) -> None:
        self.amount = amount

    def __call__(self, observation: CodeObservation) -> CodeObservation:
        """Return the observation with its reward."""
        error = observation.error
        return _less(observation, self.amount) if error is not None and error.type in _NO_PYTHON else observation


class TimeoutPenalty(Transform[CodeObservation]):
    """Takes something off the reward of code whose time was up.

    Args:
        amount: How much.
    """

    def __init__(self, amount: float = 0.1) -> None:
        self.amount = amount

    def __call__(self, observation: CodeObservation) -> CodeObservation:
        """Return the observation with its reward."""
        return _less(observation, self.amount) if observation.timed_out else observation


def _less(observation: CodeObservation, amount: float) -> CodeObservation:
    observation.reward = (observation.reward or 0.0) - amount
    return observation
