"""One server of a pool, and the questions that a pool asks it."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field

from openenv.providers.base import Provider
from openenv.providers.readiness import Probe

__all__ = ["Member"]

CHECK_S = 2.0
"""Seconds a server has for each answer."""
CLEAN_PAUSE_S = 0.01


@dataclass(eq=False)
class Member:
    """One server of a pool.

    Attributes:
        provider: What starts and stops it.
        probes: Ask its replicas; made when they are ready.
        due: When to look at it next, by `time.monotonic()`: to ask it while it is idle, to ask another one while it
            is asked, to stop it once more while it should have ended.
    """

    provider: Provider
    probes: list[Probe] = field(default_factory=list)
    due: float = math.inf

    def become_ready(self) -> None:
        """Wait until it is ready, and prepare to ask it."""
        self.provider.wait_for_ready()
        for url in self.provider.urls:
            self.probes.append(Probe(url, self.provider.headers_for(url)))

    def is_healthy(self) -> bool:
        """Ask it; what its provider raises comes out."""
        self.provider.check_alive()
        return all(probe.health(CHECK_S) is None for probe in self.probes)

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
