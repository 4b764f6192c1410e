"""The shelf of a pool: the warm servers of one image, those that are lent, and those that are on their way.

All of it is guarded by one condition. What takes time (starting, asking, stopping) runs in threads without it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from openenv.errors import ConfigurationError, ImageNotFoundError, LeaseTimeoutError, OpenEnvError, ProviderError
from openenv.providers.background import at_once
from openenv.providers.base import Provider
from openenv.providers.ramp import Ramp
from openenv.providers.readiness import Probe

__all__ = ["Member", "Shelf", "WarmMetrics"]

CHECK_S = 2.0
"""Seconds an idle server has for the answer that says it is healthy."""
CLEAN_PAUSE_S = 0.01
HOPELESS = (ConfigurationError, ImageNotFoundError)
"""Failures that trying again does not mend."""


@dataclass(frozen=True)
class WarmMetrics:
    """What a pool has done so far, and how it stands.

    Attributes:
        leases: How many were given.
        hits: How many of them found a warm server waiting.
        refused: How many were given up when their budget was over.
        waited_s: Seconds that leases have waited, all together.
        longest_wait_s: The longest of these waits.
        warm: Servers that wait for a lease.
        leased: Servers that are lent.
        starting: Servers on their way.
        started: Servers that were started.
        failed: Starts that failed.
        replaced: Servers given up because they were not clean, not healthy or near the end of their lifetime.
    """

    leases: int = 0
    hits: int = 0
    refused: int = 0
    waited_s: float = 0.0
    longest_wait_s: float = 0.0
    warm: int = 0
    leased: int = 0
    starting: int = 0
    started: int = 0
    failed: int = 0
    replaced: int = 0

    @property
    def hit_rate(self) -> float:
        """Share of the leases that found a warm server waiting."""
        return self.hits / self.leases if self.leases else 0.0


@dataclass(eq=False)
class Member:
    """One server of a pool."""

    provider: Provider
    probes: list[Probe] = field(default_factory=list)
    checked: float = 0.0

    def trouble(self) -> str | None:
        """Return None if it is alive and healthy, else what is wrong."""
        try:
            self.provider.check_alive()
        except ProviderError as error:
            return error.message
        return next(filter(None, (probe.health(CHECK_S) for probe in self.probes)), None)

    def is_clean(self, within_s: float) -> bool:
        """Wait until the server holds no session any more; False if it holds on to one, or does not tell."""
        end = time.monotonic() + within_s
        for probe in self.probes:
            while (sessions := probe.sessions(CHECK_S)) != 0:
                if sessions is None or time.monotonic() >= end:
                    return False
                threading.Event().wait(CLEAN_PAUSE_S)
        return True

    def is_old(self, margin_s: float) -> bool:
        """Whether its lifetime ends so soon that a lease might see it."""
        expires = self.provider.ownership.expires
        return expires is not None and expires - time.time() < margin_s

    def stop(self) -> None:
        """End it."""
        for probe in self.probes:
            probe.close()
        self.provider.stop()


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
        self._idle: deque[Member] = deque()
        self._waiting: deque[object] = deque()
        self._members: set[Member] = set()
        self._coming: set[Provider] = set()
        self._leased = 0
        self._starting = 0
        self._busy = 0  # threads that start, check or stop something
        self._closed = False
        self._last_failure: Exception | None = None
        self._counts = {"leases": 0, "hits": 0, "refused": 0, "started": 0, "failed": 0, "replaced": 0}
        self._waited_s = self._longest_wait_s = 0.0

    def open(self) -> None:
        """Begin to fill it."""
        with self._changed:
            self._closed = False
            self._last_failure = None
        threading.Thread(target=self._keep, name="openenv-pool", daemon=True).start()

    def wait_warm(self, count: int, timeout_s: float) -> bool:
        """Wait until so many servers are idle; return whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._idle) >= count or self._hopeless, timeout_s) and (
                len(self._idle) >= count
            )

    def take(self, timeout_s: float) -> Member:
        """Return a healthy server, first come, first served.

        Raises:
            LeaseTimeoutError: There was none in time.
            ProviderError: None can be started, or the pool was stopped.
        """
        began = time.monotonic()
        ticket = object()
        with self._changed:
            hit = bool(self._idle) and not self._waiting
            self._waiting.append(ticket)
        try:
            while True:
                member = self._next(ticket, began, timeout_s)
                if member.trouble() is None:
                    break
                self._discard(member)
        finally:
            with self._changed:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        with self._changed:
            waited = time.monotonic() - began
            self._leased += 1
            self._counts["leases"] += 1
            self._counts["hits"] += hit
            self._waited_s += waited
            self._longest_wait_s = max(self._longest_wait_s, waited)
        return member

    def give_back(self, member: Member) -> None:
        """Take a server back; it is looked at beside whatever the caller does next."""
        with self._changed:
            self._leased -= 1
        self._beside(self._returned, member)

    def close(self) -> None:
        """Stop all servers and wait until they are gone.

        Raises:
            ProviderError: Some could not be stopped.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            coming = list(self._coming)
        try:
            at_once(Provider.stop, coming)  # nobody waits for them to get ready
        finally:
            with self._changed:
                self._changed.wait_for(lambda: not self._busy)
                members, self._members = self._members, set()
                self._idle.clear()
            at_once(Member.stop, members)

    def metrics(self) -> WarmMetrics:
        """Return the counts of this moment."""
        with self._changed:
            return WarmMetrics(
                **self._counts,
                waited_s=self._waited_s,
                longest_wait_s=self._longest_wait_s,
                warm=len(self._idle),
                leased=self._leased,
                starting=self._starting,
            )

    # --- leases ----------------------------------------------------------------------------------

    def _next(self, ticket: object, began: float, timeout_s: float) -> Member:
        with self._changed:
            left = began + timeout_s - time.monotonic()
            self._changed.wait_for(
                lambda: self._closed or self._hopeless or (self._idle and self._waiting[0] is ticket),
                max(0.0, left),
            )
            if self._closed:
                raise ProviderError("The pool was stopped.") from self._last_failure
            if self._idle and self._waiting[0] is ticket:
                return self._idle.popleft()
            self._counts["refused"] += 1
            if self._hopeless and self._last_failure is not None:
                hopeless, self._last_failure = self._last_failure, None  # whoever comes next has it tried again
                self._changed.notify_all()
                raise hopeless
            why = f" The last start failed: {self._last_failure}" if self._last_failure else ""
            raise LeaseTimeoutError(
                f"No server came free within the lease budget of {timeout_s:g} s: of {self._size}, "
                f"{self._leased} are lent and {self._starting} are starting. Raise size or lease_timeout_s of the "
                f"pool.{why}"
            ) from self._last_failure

    @property
    def _hopeless(self) -> bool:
        """Whether nothing is there and nothing will come."""
        return isinstance(self._last_failure, HOPELESS) and not (self._members or self._starting)

    def _returned(self, member: Member) -> None:
        again = self._on_return == "reset" and not self._closed and not member.is_old(self._margin_s)
        if again and member.is_clean(self._clean_timeout_s):
            self._shelve(member)
        else:
            self._discard(member)

    def _shelve(self, member: Member) -> None:
        member.checked = time.monotonic()
        with self._changed:
            self._idle.append(member)
            self._changed.notify_all()

    def _discard(self, member: Member) -> None:
        with self._changed:
            if member not in self._members:
                return
            self._members.discard(member)
            self._counts["replaced"] += 1
            self._changed.notify_all()
        self._beside(member.stop)

    # --- keeping it full -------------------------------------------------------------------------

    def _keep(self) -> None:
        """Start what is missing and ask what is idle, until the pool is closed."""
        while True:
            with self._changed:
                if self._closed:
                    return
                missing = self._size - len(self._members) - self._starting
                now = 0 if self._hopeless else min(missing, self._ramp.room(self._starting))
                self._starting += now
                asked = [member for member in self._idle if self._is_due(member)]
                for member in asked:
                    self._idle.remove(member)
            for _ in range(now):
                self._beside(self._start)
            for member in asked:
                self._beside(self._check, member)
            with self._changed:
                if not (now or asked or self._closed):
                    wanted = self._size > len(self._members) + self._starting
                    self._changed.wait(self._ramp.pause_s or 1.0 if wanted else self._check_interval_s)

    def _is_due(self, member: Member) -> bool:
        return time.monotonic() - member.checked >= self._check_interval_s or member.is_old(self._margin_s)

    def _check(self, member: Member) -> None:
        if member.is_old(self._margin_s) or member.trouble() is not None:
            self._discard(member)
        else:
            self._shelve(member)

    def _start(self) -> None:
        began = time.monotonic()
        member = None
        error: Exception | None = None
        try:
            provider = self._make()
            with self._changed:
                self._coming.add(provider)
            try:
                self._refuse_if_closed()
                provider.start()
                self._refuse_if_closed()  # `close` has stopped it before there was anything to stop
                provider.wait_for_ready()
            except BaseException:
                provider.stop()
                raise
            finally:
                with self._changed:
                    self._coming.discard(provider)
            member = Member(provider, [Probe(url, provider.headers_for(url)) for url in provider.urls])
        except Exception as caught:
            error = caught
        with self._changed:
            self._starting -= 1
            if member is None:
                self._last_failure = error
                self._counts["failed"] += 1
                self._ramp.failed()
            else:
                self._last_failure = None
                self._counts["started"] += 1
                self._ramp.succeeded(time.monotonic() - began)
                self._members.add(member)
            self._changed.notify_all()
        if member is not None:
            self._shelve(member)

    def _refuse_if_closed(self) -> None:
        with self._changed:
            if self._closed:
                raise ProviderError("The pool was stopped.")

    def _beside(self, call: Callable[..., None], *args: Member) -> None:
        """Run a call in a thread of its own; `close` waits for it."""

        def run() -> None:
            try:
                call(*args)
            except OpenEnvError as error:
                self._last_failure = error
            finally:
                with self._changed:
                    self._busy -= 1
                    self._changed.notify_all()

        with self._changed:
            self._busy += 1
        threading.Thread(target=run, name="openenv-pool", daemon=True).start()
