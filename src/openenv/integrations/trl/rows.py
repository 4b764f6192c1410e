"""What a row of the dataset is to an environment: the arguments of its reset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

from openenv.errors import ConfigurationError
from openenv.integrations.trl.ahead import same

__all__ = ["batch_rows", "sent"]

NOT_SENT = frozenset({"prompt", "image", "images"})
"""Columns of a row that are for the trainer, and no argument of a reset."""
_SCORES = "_generate_and_score_completions"
"""The function of TRL that has the rows of a batch, and calls for their rollouts."""


def sent(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a row's reset; a column that holds None is one that the row does not have."""
    return {name: value for name, value in row.items() if name not in NOT_SENT and value is not None}


def batch_rows(frame: FrameType | None, prompts: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Return the rows of the batch that is played, which TRL has in the function that calls, and does not pass on.

    Args:
        frame: Where to look, and in the frames behind it.
        prompts: Those of the batch. Rows are only those of exactly these prompts.

    Raises:
        ConfigurationError: The rows cannot be seen. To play without them would be to play other tasks.
    """
    while frame is not None:
        if frame.f_code.co_name == _SCORES:
            rows, asked = frame.f_locals.get("inputs"), frame.f_locals.get("prompts")
            if isinstance(rows, list) and len(rows) == len(prompts) and same(asked, list(prompts)):
                return rows
            break
        frame = frame.f_back
    raise ConfigurationError(
        "It cannot be seen which rows of the dataset these prompts are of, as they do not come from TRL's "
        f"{_SCORES} as they are there. Say what each prompt's reset is to be given: rollout_func(..., row=...)"
    )
