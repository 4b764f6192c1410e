"""What a client hears of a long request, and how its program is told.

A callback never holds up the connection: one that is a coroutine function runs beside the request, once at a time,
and gets the latest of what came meanwhile.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

logger = logging.getLogger("openenv.client")


@dataclass(frozen=True)
class Progress:
    """How far a reset or step is.

    Attributes:
        fraction: How much is done, from 0 to 1; None if that is not known.
        message: What is being done.
        data: What else the environment tells.
        index: Which environment, where there are several in one object.
    """

    fraction: float | None = None
    message: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    index: int | None = None

    @staticmethod
    def of(data: object, index: int | None = None) -> Progress:
        """Return what the `data` of a frame says; whatever is no progress in it is left out."""
        rest = dict(data) if isinstance(data, Mapping) else {}
        fraction, message = rest.pop("fraction", None), rest.pop("message", "")
        known = isinstance(fraction, int | float) and not isinstance(fraction, bool)
        return Progress(float(fraction) if known else None, str(message or ""), rest, index)


OnProgress = Callable[[Progress], Awaitable[object] | object]
"""Called on the client's event loop, so it must not block; for blocking callers that is another thread's."""


class Listening:
    """Tells a callback of one request, or of many together, until that is answered."""

    __slots__ = ("_callback", "_latest", "_over", "_task")

    def __init__(self, callback: OnProgress) -> None:
        self._callback = callback
        self._latest: Progress | None = None
        self._task: asyncio.Task[None] | None = None
        self._over = False

    def hear(self, progress: Progress) -> None:
        """Tell it, or, while it is at the one before, keep this for then."""
        if self._over:
            return
        if self._task is not None:
            self._latest = progress
            return
        try:
            returned = self._callback(progress)
        except Exception:
            logger.exception("on_progress failed")
            return
        if inspect.isawaitable(returned):
            self._task = asyncio.get_running_loop().create_task(self._follow(returned))

    def end(self) -> None:
        """The request is answered: tell no more. What is being told may come to its end."""
        self._over = True
        self._latest = None

    async def _follow(self, awaitable: Awaitable[object]) -> None:
        try:
            await awaitable
        except Exception:
            logger.exception("on_progress failed")
        self._task = None
        latest, self._latest = self._latest, None
        if latest is not None:
            self.hear(latest)
