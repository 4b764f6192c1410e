"""How many sessions a server has: the count that `max_concurrent_envs` limits.

A server of one process counts for itself, here. Several processes behind one port count together; see
`server.processes.ledger`.
"""

from __future__ import annotations

import uuid
from typing import ClassVar


class Slots:
    """The slots of a server that is one process."""

    shared: ClassVar[bool] = False
    """Whether other processes take and give slots too, so that one may become free without notice."""

    def __init__(self) -> None:
        self._taken = 0
        self._waiting = 0

    def new_id(self) -> str:
        """Return the id of a new session."""
        return str(uuid.uuid4())

    def elsewhere(self, session_id: str) -> int | None:
        """Return the number of the other process that has a session of this id; None if there is none.

        Raises:
            SessionLost: It was in a process that is gone.
        """
        return None

    def take(self, limit: int, since: int) -> bool:
        """Take a slot if one is free and nobody has waited for it longer.

        Args:
            limit: How many there are.
            since: When whoever wants it began to wait, by `time.monotonic_ns`.
        """
        if self._taken >= limit:
            return False
        self._taken += 1
        return True

    def give(self) -> None:
        """Give a slot back."""
        self._taken -= 1

    def queue(self, waiting: int, since: int) -> None:
        """Tell how many wait here, and since when the first of them."""
        self._waiting = waiting

    @property
    def taken(self) -> int:
        """How many are taken, by all processes of the server."""
        return self._taken

    @property
    def waiting(self) -> int:
        """How many wait for one, in all processes of the server."""
        return self._waiting
