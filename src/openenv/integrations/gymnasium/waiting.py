"""What a vector environment does while its server is away: it waits, so that a restart does not end a training."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from openenv.client.results import Failure
from openenv.outcomes import Cause

__all__ = ["once_back"]

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0
"""Seconds between attempts: doubled each time."""
AWAY = frozenset({Cause.SESSION_LOST, Cause.BUDGET})
"""What resets come to where nobody listens, or nobody answers."""

_log = logging.getLogger("openenv.integrations.gymnasium")


def once_back(results: dict[int, Any], reset: Callable[[], dict[int, Any]], wait_s: float) -> dict[int, Any]:
    """Return what resets come to, made again while all of them fail because the server is away.

    Args:
        results: What they came to so far.
        reset: Makes them again.
        wait_s: Seconds after which no other attempt begins.

    Raises:
        RequestError: All of them fail, for this reason or another.
    """
    end, pause = time.monotonic() + wait_s, FIRST_PAUSE_S
    while _all(_is_away, results) and time.monotonic() + pause < end:
        if pause == FIRST_PAUSE_S:
            _log.warning("The server is away, and waited for (wait_s: %g s)", wait_s)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)
        results = reset()
    if _all(_is_failure, results):
        raise next(iter(results.values())).error
    return results


def _all(is_so: Callable[[Any], bool], results: dict[int, Any]) -> bool:
    return bool(results) and all(map(is_so, results.values()))


def _is_failure(result: Any) -> bool:
    return isinstance(result, Failure)


def _is_away(result: Any) -> bool:
    return isinstance(result, Failure) and result.outcome.cause in AWAY
