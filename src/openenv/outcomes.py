"""How a step came out, in a small fixed vocabulary, and what a trainer may do with it.

A reward says how good an action was; an outcome says whether there is anything to learn from at all. What broke
is never told as a reward of 0.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """How a step, or the episode it ended, came out."""

    OK = "ok"
    """The episode goes on."""
    TERMINATED = "terminated"
    """The task has ended by its own rules: goal, failure, game over."""
    TRUNCATED = "truncated"
    """A limit of the task cut the episode off: steps, time."""
    POLICY_FAULT = "policy_fault"
    """The agent did what ends an episode, or a request, by rule."""
    INFRA_FAULT = "infra_fault"
    """Something broke that the agent can not have caused. Never to be trained on."""


class Cause(StrEnum):
    """Why; a fixed vocabulary."""

    NONE = "none"
    """Nothing out of the ordinary."""
    INVALID_ACTION = "invalid_action"
    """The action, or its arguments, does not validate."""
    ILLEGAL_ACTION = "illegal_action"
    """The action is well formed and against the rules of the task."""
    ACTION_BUDGET = "action_budget"
    """What the agent started took longer than the agent was given."""
    OUT_OF_TURN = "out_of_turn"
    """A step before reset or after the end, or a request out of sequence."""
    ENVIRONMENT_ERROR = "environment_error"
    """The environment raised."""
    ENVIRONMENT_DIED = "environment_died"
    """The environment's process ended by itself or was killed from outside."""
    BUDGET = "budget"
    """A create, reset, step or message budget ran out."""
    CREATE_FAILED = "create_failed"
    """The environment could not be constructed, or its server not started."""
    CAPACITY = "capacity"
    """There was no free session in time."""
    SESSION_LOST = "session_lost"
    """The session is gone: lease over, server gone, taken over."""
    PEER_LEFT = "peer_left"
    """Another player of the same episode is gone: its session ended or broke, or it began another episode."""
    CANCELLED = "cancelled"
    """The caller cancelled the request."""
    SERIALIZATION = "serialization"
    """The environment's answer has no wire form, or is too large."""
    PROTOCOL = "protocol"
    """Client and server do not understand one another."""


class Outcome(NamedTuple):
    """How a step came out.

    Attributes:
        status: One of `Status`.
        cause: One of `Cause`.
        retryable: Doing the same again, after a reset if the episode is over, may come out differently.
        reward_valid: The reward is what the environment or a rubric said. If False, leave the step, and an
            episode it ended, out of training.
    """

    status: Status
    cause: Cause = Cause.NONE
    retryable: bool = False
    reward_valid: bool = True

    @property
    def is_fault(self) -> bool:
        """Whether something went wrong, on whichever side."""
        return self.status in (Status.POLICY_FAULT, Status.INFRA_FAULT)

    @staticmethod
    def of(done: bool, truncated: bool, graded: bool) -> Outcome:
        """Return the outcome of a step that simply worked."""
        return ORDINARY[done, truncated, graded]

    @staticmethod
    def policy_fault(cause: Cause = Cause.ILLEGAL_ACTION, *, reward_valid: bool = True) -> Outcome:
        """Return the outcome of an episode that the agent ended against the rules."""
        return Outcome(Status.POLICY_FAULT, cause, False, reward_valid)

    @staticmethod
    def infra_fault(cause: Cause = Cause.ENVIRONMENT_ERROR, *, retryable: bool = True) -> Outcome:
        """Return the outcome of something that broke; its reward is never valid."""
        return Outcome(Status.INFRA_FAULT, cause, retryable, False)


def _ordinary(done: bool, truncated: bool, graded: bool) -> Outcome:
    status = Status.TRUNCATED if truncated else Status.TERMINATED if done else Status.OK
    return Outcome(status, reward_valid=graded)


_BOTH = (False, True)
ORDINARY = {(d, t, g): _ordinary(d, t, g) for d in _BOTH for t in _BOTH for g in _BOTH}
"""The outcomes of steps that simply worked: by done, by truncated, by whether there is a reward."""
