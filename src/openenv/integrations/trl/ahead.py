"""What TRL will ask for next, as far as the frame that calls says it.

TRL resets the environments of a batch in a loop, and makes the tool calls of a turn in a loop. The rows and the
calls of the whole batch are variables of the function that has the loop. Whatever does not look as expected there
gives nothing, and then calls are made as they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import FrameType
from typing import Any, TypeVar

__all__ = ["calls_ahead", "resets_ahead", "same"]

T = TypeVar("T")
_NEAR = 4
"""How many frames are looked at."""


def resets_ahead(
    frame: FrameType | None, environment: Any, row: Mapping[str, Any]
) -> list[tuple[Any, dict[str, Any]]]:
    """Return the environments that are reset after this one in the same batch, and their rows.

    Args:
        frame: Where the environment's `reset` was called.
        environment: Whose.
        row: What it was called with.
    """
    return _first(frame, lambda names: _resets(names, environment, row))


def calls_ahead(
    frame: FrameType | None, environment: Any, name: str, arguments: Mapping[str, Any]
) -> list[tuple[Any, str, dict[str, Any]]]:
    """Return the environments whose tools are called after this call in the same turn, with name and arguments.

    Args:
        frame: Where the tool was called.
        environment: Whose.
        name: The tool's, as the model knows it.
        arguments: What it was called with.
    """
    return _first(frame, lambda names: _calls(names, environment, name, arguments))


def same(one: Any, other: Any) -> bool:
    """Return whether two values are the same beyond doubt; what cannot be compared is not."""
    if one is other:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # of whatever class a column has
        return False


def _first(frame: FrameType | None, look: Callable[[Mapping[str, Any]], Iterator[T]]) -> list[T]:
    """Return what is seen from a frame, or from one of the next, for there may be a wrapper in between."""
    for _ in range(_NEAR):
        if frame is None:
            break
        with suppress(AttributeError, KeyError, TypeError, IndexError, ValueError):
            return list(look(frame.f_locals))
        frame = frame.f_back
    return []


def _resets(
    names: Mapping[str, Any], environment: Any, row: Mapping[str, Any]
) -> Iterator[tuple[Any, dict[str, Any]]]:
    trainer, rows = names["self"], names["inputs"]
    environments = trainer.environments
    place = _place(environments, environment)
    if len(environments) != len(rows) or not same(_arguments(trainer, rows[place]), dict(row)):
        raise KeyError("these are other rows")
    for other, its_row in zip(environments[place + 1 :], rows[place + 1 :], strict=True):
        yield other, _arguments(trainer, its_row)


def _arguments(trainer: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in row.items() if not (trainer._multi_environment and name == "environment")
    }


def _calls(
    names: Mapping[str, Any], environment: Any, name: str, arguments: Mapping[str, Any]
) -> Iterator[tuple[Any, str, dict[str, Any]]]:
    trainer, turn, rollouts, calls = names["self"], names["idx"], names["idxs_with_tool"], names["tool_calls"]
    if trainer.environments[rollouts[turn]] is not environment or len(rollouts) != len(calls):
        raise KeyError("this is another turn")
    if not any(_call(call) == (name, arguments) for call in calls[turn]):
        raise KeyError("these are other calls")
    for rollout, its_calls in zip(rollouts[turn + 1 :], calls[turn + 1 :], strict=True):
        functions, other = trainer._sync_tool_dicts[rollout], trainer.environments[rollout]
        for its_name, its_arguments in map(_call, its_calls):
            if getattr(functions.get(its_name), "__self__", None) is other and isinstance(its_arguments, dict):
                yield other, its_name, its_arguments


def _call(call: Mapping[str, Any]) -> tuple[Any, Any]:
    function = call.get("function") if call.get("type") == "function" else None
    return (function["name"], function["arguments"]) if function else (None, None)


def _place(environments: Any, environment: Any) -> int:
    return [one is environment for one in environments].index(True)
