"""What a result is to a trainer that knows numbers only: a fault is never a reward of 0, and is counted."""

from __future__ import annotations

import logging
import math
from collections import Counter
from typing import Any, NamedTuple

from openenv.outcomes import Cause, Outcome, Status

_log = logging.getLogger("openenv.integrations.gymnasium")


class Verdict(NamedTuple):
    """A result in Gymnasium's terms.

    Attributes:
        reward: NaN where there is nothing to learn from.
        terminated: The episode has ended by its rules, or by what the agent did against them.
        truncated: It was cut off: by a limit, or because something broke. An end by its rules may come in the same
            step as a limit, and then it is both.
    """

    reward: float
    terminated: bool = False
    truncated: bool = False


class Faults(Counter[str]):
    """How many there were, by cause; each has a line in the log."""

    def add(self, outcome: Outcome, error: str = "", index: int = 0) -> str:
        """Count one, and return what went wrong in words.

        Args:
            outcome: What came of the reset or step.
            error: What is known of it.
            index: Of the environment.
        """
        if not error:
            broke = outcome.cause is not Cause.NONE
            error = f"The environment says so: {outcome.cause}" if broke else "Nothing graded the episode"
        self[str(outcome.cause)] += 1
        _log.warning("Environment %d: %s (%s): %s", index, outcome.status, outcome.cause, error)
        return error


BROKEN = Verdict(math.nan, False, True)


def verdict(result: Any, graded: bool, illegal_reward: float | None) -> Verdict:
    """Return what a result, or a failure in its place, is to a trainer.

    A step that goes on and that nothing graded has the reward 0.0, so that the rewards of an episode add up to what
    the environment gave. If nothing graded any step of an episode, its last one has NaN.

    Args:
        result: A `StepResult`, or anything with its fields.
        graded: Whether an earlier step of the episode was.
        illegal_reward: The reward of an action that was refused, which ends the episode then; None for a fault.
    """
    outcome, reward = result.outcome, result.reward
    if outcome.status == Status.INFRA_FAULT:
        return BROKEN
    if outcome.status == Status.POLICY_FAULT and not outcome.reward_valid:
        return BROKEN if illegal_reward is None else Verdict(illegal_reward, True)
    if reward is None:
        reward = math.nan if result.done and not graded else 0.0
    elif not outcome.reward_valid:
        reward = math.nan
    truncated = bool(result.truncated)
    terminated = bool(result.done) and (bool(result.terminated) or not truncated)
    return Verdict(float(reward), terminated, truncated)
