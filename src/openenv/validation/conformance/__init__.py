"""What any server has to do that speaks this protocol, in whatever language it is written.

The checks speak to it in raw frames, so this project's client is not part of what is tested. `openenv conformance`
runs them.
"""

from __future__ import annotations

from openenv.validation.checks import Check
from openenv.validation.conformance import (
    http_routes,
    messagepack,
    version1,
    version2,
    version2_sessions,
    version2_snapshots,
)
from openenv.validation.conformance.server import ServerUnderTest

__all__ = ["ServerUnderTest", "checks_of"]


def checks_of(version: str = "all") -> list[Check[ServerUnderTest]]:
    """Return the checks of a version of the wire, and with it those of HTTP.

    Args:
        version: `1`, `2` or `all`.
    """
    found: list[Check[ServerUnderTest]] = []
    if version in ("1", "all"):
        found += version1.CHECKS
    if version in ("2", "all"):
        found += [*version2.CHECKS, *version2_sessions.CHECKS, *version2_snapshots.CHECKS, *messagepack.CHECKS]
    return [*found, *http_routes.CHECKS]  # last, since the shared session of the old routes stays open
