"""What an exception of a client is to whoever plays: an outcome, words for it, and whether to try again."""

from __future__ import annotations

from openenv.errors import ProviderError, RequestError
from openenv.outcomes import Cause, Outcome, Status

__all__ = ["as_fault", "is_passing", "message_of", "outcome_of"]


def outcome_of(error: Exception) -> Outcome:
    """Return how a call came out that raised this.

    Args:
        error: An `OpenEnvError` or an `OSError`.
    """
    if isinstance(error, RequestError):
        return error.outcome
    if isinstance(error, ProviderError):
        return Outcome.infra_fault(Cause.CREATE_FAILED)
    return Outcome.infra_fault(Cause.SESSION_LOST)


def message_of(error: Exception) -> str:
    """Return what an exception says."""
    return getattr(error, "message", "") or f"{type(error).__name__}: {error}"


def as_fault(outcome: Outcome) -> Outcome:
    """Return an outcome as one that no policy has caused, as that of a reset that was refused."""
    if outcome.status is Status.INFRA_FAULT:
        return outcome
    return Outcome.infra_fault(outcome.cause, retryable=outcome.retryable)


def is_passing(outcome: Outcome) -> bool:
    """Return whether a reset that came out like this is worth another attempt: what hangs once, may again."""
    return outcome.retryable and outcome.cause is not Cause.BUDGET
