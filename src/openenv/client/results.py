"""What calls about many sessions give: results and failures in one list, with the same fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from openenv.errors import RequestError
from openenv.models import Settled, StepResult
from openenv.outcomes import Outcome
from openenv.protocol.batches import Result
from openenv.protocol.messages import ObservationT

ItemT = TypeVar("ItemT")


@dataclass(frozen=True)
class Failure:
    """What a call gives for a session that it failed for, with the fields of a `StepResult`.

    Attributes:
        index: Which session.
        error: Why.
        outcome: What that means to a trainer; the reward of a failure is never valid.
        done: Always True: nothing can follow but a reset.
    """

    index: int
    error: RequestError
    outcome: Outcome
    observation: None = None
    reward: None = None
    done: bool = True
    terminated: bool = False
    truncated: bool = False
    info: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


VectorResult = StepResult[ObservationT] | Failure


class Results(list[ItemT], Settled):
    """A list that can be awaited and gives itself, as all results do."""


def told(index: int, result: Result) -> StepResult[Any] | Failure:
    """Return a result as its caller gets it."""
    return Failure(index, result, result.outcome) if isinstance(result, RequestError) else result


def in_order(asked: Iterable[int], results: Mapping[int, Result]) -> Results[Any]:
    """Return results in the order they were asked for."""
    answers = [(index, results[index]) for index in asked]
    return Results([told(index, r) if isinstance(r, RequestError) else r for index, r in answers])
