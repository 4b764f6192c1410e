"""The counts of a pool of warm servers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["WarmMetrics"]


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
