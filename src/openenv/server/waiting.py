"""Those who want a session of a server that is full: who of them is next, and until when they wait.

A waiter is two callbacks and a timer, so waiting takes no task, and a server with room pays nothing for the queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from openenv.errors import RequestError, SessionCapacityError
from openenv.protocol.messages import ConcurrencyConfig
from openenv.server.budgets import Budgets
from openenv.server.sessions import Session
from openenv.server.slots import Slots

LOOK_S = 0.02
"""Seconds between looks whether another process has given a slot back, while somebody waits for one."""


class WaitingRoom:
    """The queue for sessions.

    It decides who gets a slot that has become free: whoever has waited longest, here or in another process of the
    server. It decides as well when waiting is over: after the queue budget, or at once if that is zero.

    Args:
        slots: Returns where slots are taken; asked each time, since a server of several processes replaces them.
        config: Says how many there are.
        budgets: Say how long one waits.
        begin: Makes a session in a slot that has been taken.
    """

    def __init__(
        self, slots: Callable[[], Slots], config: ConcurrencyConfig, budgets: Budgets, begin: Callable[[], Session]
    ) -> None:
        self._slots = slots
        self._config = config
        self._budgets = budgets
        self._begin = begin
        self._waiters: deque[_Waiter] = deque()
        self._next_look: asyncio.TimerHandle | None = None

    def join(
        self,
        opened: Callable[[Session], None],
        refused: Callable[[RequestError], None],
        error: SessionCapacityError,
    ) -> Callable[[], None]:
        """Wait for a slot, behind all who wait already.

        Args:
            opened: Called with the session.
            refused: Called instead with the error.
            error: Says that there is no room.

        Returns:
            A function that gives up waiting.
        """
        if self._budgets.queue <= 0:
            refused(error)
            return lambda: None
        waiter = _Waiter(opened, refused, error)
        self._waiters.append(waiter)
        waiter.timer = asyncio.get_running_loop().call_later(self._budgets.queue, self._refuse, waiter)
        self._changed()
        return lambda: self._drop(waiter)

    def admit(self) -> None:
        """Open sessions for those who have waited longest, as far as there are slots."""
        while self._waiters and self._slots().take(self._config.max_concurrent_envs, self._waiters[0].since):
            waiter = self._waiters.popleft()
            waiter.cancel()
            self._changed()
            waiter.opened(self._begin())

    def refuse_all(self) -> None:
        """Tell all who wait that they get none."""
        while self._waiters:
            self._refuse(self._waiters[0])

    def _changed(self) -> None:
        """Let the other processes know who waits here, and look now and then whether they have made room."""
        slots = self._slots()
        slots.queue(len(self._waiters), self._waiters[0].since if self._waiters else 0)
        if self._waiters and slots.shared and self._next_look is None:
            self._next_look = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _look(self) -> None:
        self._next_look = None
        self.admit()
        self._changed()

    def _refuse(self, waiter: _Waiter) -> None:
        position = self._waiters.index(waiter) + 1
        self._drop(waiter)
        waiter.error.message += (
            f"; waited {self._budgets.queue:g} s (queue budget), at place {position} of the queue"
        )
        waiter.refused(waiter.error)

    def _drop(self, waiter: _Waiter) -> None:
        waiter.cancel()
        with contextlib.suppress(ValueError):
            self._waiters.remove(waiter)
            self._changed()


@dataclass(eq=False)
class _Waiter:
    """Somebody who waits for a free slot."""

    opened: Callable[[Session], None]
    refused: Callable[[RequestError], None]
    error: SessionCapacityError
    since: int = field(default_factory=time.monotonic_ns)
    timer: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
