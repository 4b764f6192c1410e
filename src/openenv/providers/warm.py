"""The shelf of a pool: the warm servers of one image, those that are lent, and those that are on their way.

All of it is guarded by one condition. What takes time (starting, asking, stopping) runs in threads without it, so a
lease does nothing but wait in the line: it can be given up at any moment, and has nothing in its hands then.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any, Literal, TypeAlias

from openenv.errors import (
    ConfigurationError,
    ImageNotFoundError,
    LeaseTimeoutError,
    ProviderError,
    ProviderStartError,
)
from openenv.providers.background import at_once, begin
from openenv.providers.base import Provider
from openenv.providers.member import Member
from openenv.providers.ramp import Ramp
from openenv.providers.warm_metrics import WarmMetrics

__all__ = ["Shelf", "Turn"]

_logger = logging.getLogger(__name__)

LEAST_WAIT_S = 0.5
"""Seconds a lease waits at least where servers are idle: asking one takes a moment, also where the budget is 0."""
PATIENCE_S = 0.1
"""Seconds after which another server is asked for a lease, for one that hangs takes long to give up."""
HOPELESS = (ConfigurationError, ImageNotFoundError)
"""Failures that trying again does not mend."""


Turn: TypeAlias = Future[Member]
"""The place of one lease in the line: it gets a server or an error, or is cancelled, whichever is first."""


class Shelf:
    """The servers of one image.

    Args:
        make: Returns a new provider, not started.
        size: How many servers there shall be, lent ones included.
        at_once: Never more than these start at the same time.
        on_return: Whether a server that comes back is used again when it is clean, or replaced.
        clean_timeout_s: Seconds it has to become clean.
        check_interval_s: Seconds after which an idle server is asked again whether it is healthy.
        margin_s: Seconds before the end of its lifetime at which a server is replaced.
    """

    def __init__(
        self,
        make: Callable[[], Provider],
        *,
        size: int,
        at_once: int,
        on_return: Literal["reset", "replace"],
        clean_timeout_s: float,
        check_interval_s: float,
        margin_s: float,
    ) -> None:
        self._make = make
        self._size = size
        self._on_return = on_return
        self._clean_timeout_s = clean_timeout_s
        self._check_interval_s = check_interval_s
        self._margin_s = margin_s
        self._ramp = Ramp(at_once)
        self._changed = threading.Condition()
        self._waiting: deque[Turn] = deque()
        self._lent: set[Turn] = set()
        self._coming: set[Member] = set()
        self._members: set[Member] = set()
        self._idle: deque[Member] = deque()
        self._asked: set[Member] = set()  # idle before, and again if they are healthy
        self._ending: set[Member] = set()  # until they have surely ended
        self._starting = 0
        self._busy = 0  # calls that start, ask or stop something
        self._closed = False
        self._last_failure: BaseException | None = None
        self._counts = {"leases": 0, "hits": 0, "refused": 0, "started": 0, "failed": 0, "replaced": 0}
        self._waited_s = self._longest_wait_s = 0.0

    def open(self) -> None:
        """Begin to fill it; once."""
        self._busy += 1
        threading.Thread(target=self._run, args=(self._keep,), name="openenv-pool", daemon=True).start()

    def wait_warm(self, count: int, timeout_s: float) -> bool:
        """Wait until so many servers are idle; return whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._idle) >= count or self._hopeless, timeout_s) and (
                len(self._idle) >= count
            )

    def take(self, turn: Turn, timeout_s: float) -> Member:
        """Wait in the line and return a healthy server, first come, first served.

        Whatever this raises, and also if it is interrupted: `give_back` returns what the turn may have got.

        Args:
            turn: A new one. Cancelling it ends the waiting.
            timeout_s: Seconds to wait.

        Raises:
            LeaseTimeoutError: There was none in time.
            ProviderError: None can be started, the turn was cancelled, or the pool was stopped.
        """
        began = time.monotonic()
        with self._changed:
            self._refuse_if_closed()
            hit = len(self._idle) + len(self._asked) > len(self._waiting)
            self._waiting.append(turn)
            self._changed.notify_all()
        try:
            member = turn.result(max(timeout_s, LEAST_WAIT_S) if hit else timeout_s)
        except CancelledError:
            raise ProviderStartError("The lease was stopped while it waited for a server.") from None
        except TimeoutError:
            if turn.cancel():
                raise self._timed_out(timeout_s) from self._last_failure
            member = turn.result()  # it has come at the last moment
        finally:
            with self._changed:
                if turn in self._waiting:
                    self._waiting.remove(turn)
        with self._changed:
            waited = time.monotonic() - began
            self._counts["leases"] += 1
            self._counts["hits"] += hit
            self._waited_s += waited
            self._longest_wait_s = max(self._longest_wait_s, waited)
        return member

    def give_back(self, turn: Turn) -> None:
        """Take back what a turn got, if it got something; it is looked at beside whatever the caller does next."""
        turn.cancel()
        with self._changed:
            if turn not in self._lent:
                return
            self._lent.remove(turn)
        self._beside(self._look, turn.result(), self._is_reusable, self._shelve)

    def close(self) -> None:
        """Stop all servers and wait until they are gone. If some would not stop it can be called again.

        Raises:
            ProviderError: Some could not be stopped.
        """
        with self._changed:
            self._closed = True
            while (turn := self._next_turn()) is not None:
                turn.set_exception(ProviderError("The pool was stopped."))
            self._changed.notify_all()
            coming = list(self._coming)
        at_once(self._end, coming)  # nobody waits for them to get ready
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)
            self._ending |= self._members
            self._members.clear()
            self._idle.clear()
            ending = list(self._ending)
        errors = [error for error in at_once(self._end, ending) if error is not None]
        if errors:
            raise errors[0]

    def metrics(self) -> WarmMetrics:
        """Return the counts of this moment."""
        with self._changed:
            return WarmMetrics(
                **self._counts,
                waited_s=self._waited_s,
                longest_wait_s=self._longest_wait_s,
                warm=len(self._idle),
                leased=len(self._lent),
                starting=self._starting,
            )

    # --- leases ----------------------------------------------------------------------------------

    def _next_turn(self) -> Turn | None:
        """Take who has waited longest out of the line; it has to get something before the lock is released."""
        while self._waiting:
            turn = self._waiting.popleft()
            if turn.set_running_or_notify_cancel():
                return turn
        return None

    def _timed_out(self, timeout_s: float) -> LeaseTimeoutError:
        with self._changed:
            self._counts["refused"] += 1
            why = f" The last start failed: {self._last_failure}" if self._last_failure else ""
            return LeaseTimeoutError(
                f"No server came free within the lease budget of {timeout_s:g} s: of {self._size}, "
                f"{len(self._lent)} are lent and {self._starting} are starting. Raise size or lease_timeout_s of "
                f"the pool.{why}"
            )

    def _look(self, member: Member, is_good: Callable[[Member], bool], keep: Callable[[Member], None]) -> None:
        """Keep a server if it is good, else replace it; whatever happens, it is not forgotten."""
        good = False
        try:
            good = is_good(member)
        except Exception as error:
            _logger.warning("A server of the pool is replaced: %s", error)
        finally:
            if good:
                keep(member)
            else:
                self._discard(member)

    def _is_reusable(self, member: Member) -> bool:
        return self._on_return == "reset" and not self._closed and member.is_clean(self._clean_timeout_s)

    def _is_healthy(self, member: Member) -> bool:
        return not member.is_old(self._margin_s) and member.is_healthy()

    def _lend(self, member: Member) -> None:
        """Give a server that was just found healthy to who has waited longest, if somebody waits."""
        with self._changed:
            self._asked.discard(member)
            turn = self._next_turn() if member in self._members else None
            if turn is None:
                self._shelve(member)
            else:
                self._lent.add(turn)
                turn.set_result(member)

    def _shelve(self, member: Member) -> None:
        with self._changed:
            if member in self._members:  # else `close` has ended it meanwhile
                member.due = time.monotonic() + self._check_interval_s
                self._idle.append(member)
                self._changed.notify_all()

    def _discard(self, member: Member) -> None:
        with self._changed:
            self._asked.discard(member)
            if member not in self._members:
                return
            self._members.discard(member)
            member.due = math.inf
            self._ending.add(member)
            self._counts["replaced"] += 1
            self._changed.notify_all()
        self._beside(self._end, member)

    def _end(self, member: Member) -> Exception | None:
        """Stop a server, and forget it once it has stopped; return why it has not."""
        try:
            member.stop()
        except Exception as error:
            _logger.warning("A server of the pool could not be stopped: %s", error)
            member.due = time.monotonic() + self._check_interval_s
            return error
        with self._changed:
            self._ending.discard(member)
        return None

    # --- keeping it full -------------------------------------------------------------------------

    def _keep(self) -> None:
        """Have done what is due, until the pool is closed."""
        while True:
            with self._changed:
                while not self._closed and not (calls := self._due()):
                    self._changed.wait(self._pause_s())
                if self._closed:
                    return
            for call, *arguments in calls:
                self._beside(call, *arguments)

    def _due(self) -> list[tuple[Any, ...]]:
        """Return the calls that start what is missing, ask what is idle, and stop once more what would not stop."""
        if self._hopeless and (turn := self._next_turn()) is not None:
            self._counts["refused"] += 1
            turn.set_exception(self._last_failure)
            self._last_failure = None  # whoever comes next has it tried again
        missing = self._size - len(self._members) - self._starting
        now = 0 if self._hopeless else min(missing, self._ramp.room(self._starting))
        self._starting += now
        asked = self._to_be_asked()
        for member in asked:
            self._idle.remove(member)
            self._asked.add(member)
            member.due = time.monotonic() + PATIENCE_S
        again = [member for member in self._ending if time.monotonic() >= member.due]
        for member in again:
            member.due = math.inf
        return (
            [(self._start,)] * now
            + [(self._look, member, self._is_healthy, self._lend) for member in asked]
            + [(self._end, member) for member in again]
        )

    def _to_be_asked(self) -> list[Member]:
        """Return idle servers that were not asked for long, and one for each lease that waits."""
        now = time.monotonic()
        hurry = len(self._waiting) - sum(now < member.due for member in self._asked)
        return [
            member
            for place, member in enumerate(self._idle)
            if place < hurry or now >= member.due or member.is_old(self._margin_s)
        ]

    def _pause_s(self) -> float:
        """Return after how many seconds something may be due, if nothing changes."""
        if self._waiting and self._idle:
            return PATIENCE_S
        if self._size > len(self._members) + self._starting:
            return self._ramp.pause_s or 1.0
        return self._check_interval_s

    @property
    def _hopeless(self) -> bool:
        """Whether nothing is there and nothing will come."""
        return isinstance(self._last_failure, HOPELESS) and not (self._members or self._starting)

    def _start(self) -> None:
        began = time.monotonic()
        member: Member | None = None
        failure: BaseException | None = None
        try:
            member = self._make_ready()
        except BaseException as error:  # also the SystemExit of a `make`, which ends nothing but this call
            failure = error
        with self._changed:
            self._starting -= 1
            self._last_failure = failure
            if member is None:
                self._counts["failed"] += 1
                self._ramp.failed()
            else:
                self._counts["started"] += 1
                self._ramp.succeeded(time.monotonic() - began)
                self._members.add(member)
                self._lend(member)
            self._changed.notify_all()

    def _make_ready(self) -> Member:
        member = Member(self._make())
        with self._changed:
            self._refuse_if_closed()
            self._coming.add(member)
        try:
            member.provider.start()
            self._refuse_if_closed()  # `close` has stopped it before there was anything to stop
            member.become_ready()
        except BaseException:
            with self._changed:
                self._ending.add(member)
            self._end(member)
            raise
        finally:
            with self._changed:
                self._coming.discard(member)
        return member

    def _refuse_if_closed(self) -> None:
        with self._changed:
            if self._closed:
                raise ProviderError("The pool was stopped.")

    def _beside(self, call: Callable[..., object], *args: object) -> None:
        """Make a call in a thread of its own, or here where no thread can be had; `close` waits for it."""
        with self._changed:
            self._busy += 1
        begin(self._run, call, *args)

    def _run(self, call: Callable[..., object], *args: object) -> None:
        try:
            call(*args)
        except Exception:
            _logger.exception("The pool has made a mistake")
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()
