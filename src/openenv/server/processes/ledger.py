"""What the processes of a server know of one another: a table in memory that all of them share.

Counting sessions must not wait for anybody, so there is nobody to ask: whoever opens a session looks and writes
under a lock that the system gives back when its holder dies. A row is written by its own process only, and cleared
by the parent when that is gone. Whoever merely reads takes no lock: every number is an aligned word of 64 bits, and
is read and written as a whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import re
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import ClassVar

from openenv.errors import SessionLost
from openenv.server.slots import Slots

DIED = "The server process that held the session has died, and its episode with it"

_WORD = 8
_LAST = 0  # the word with the number of the process that was started last; the rows follow
_FIRST_ROW = 1
_SESSION = re.compile(r"p(\d{1,9})-")


@dataclass
class Row:
    """What one process tells of itself.

    Attributes:
        number: Its number, never used twice; 0 for none.
        sessions: How many it has.
        waiting: How many wait in it for a session.
        since: When the first of them began to, by `time.monotonic_ns`.
        taken: How many connections it has taken over from the parent.
        open: How many connections it has.
    """

    number: int = 0
    sessions: int = 0
    waiting: int = 0
    since: int = 0
    taken: int = 0
    open: int = 0


_FIELDS = tuple(field.name for field in fields(Row))


class Ledger:
    """The table. The parent makes it and hands its descriptor on.

    Args:
        descriptor: Of the file.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        # Not `struct`: that zeroes a place before it writes, and others may be reading.
        self._words = memoryview(mmap.mmap(descriptor, 0)).cast("Q")

    @staticmethod
    def make(rows: int) -> Ledger:
        """Make one for so many processes."""
        with tempfile.TemporaryFile() as file:  # has no name, so nothing is left of it
            file.truncate((_FIRST_ROW + rows * len(_FIELDS)) * _WORD)
            return Ledger(os.dup(file.fileno()))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the others from taking slots. Held for microseconds, so waiting for it is no wait."""
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)

    def rows(self) -> list[Row]:
        """Return all rows, also those without a process."""
        starts = range(_FIRST_ROW, len(self._words), len(_FIELDS))
        return [Row(*self._words[start : start + len(_FIELDS)].tolist()) for start in starts]

    def write(self, index: int, row: Row) -> None:
        """Write a row."""
        start = _FIRST_ROW + index * len(_FIELDS)
        for place, name in enumerate(_FIELDS, start):
            self._words[place] = getattr(row, name)

    @property
    def last(self) -> int:
        """The number of the process that was started last."""
        return self._words[_LAST]

    def begin(self, index: int) -> int:
        """Give a row to a new process; return its number."""
        number = self.last + 1
        with self.locked():
            self._words[_LAST] = number
            self.write(index, Row(number))
        return number

    def clear(self, index: int) -> None:
        """Take note that the process of a row is gone, and its sessions with it."""
        with self.locked():
            self.write(index, Row())


class SharedSlots(Slots):
    """The slots of a server, as one of its processes takes and gives them.

    Args:
        ledger: The table.
        index: The row of this process.
        number: Its number.
    """

    shared: ClassVar[bool] = True

    def __init__(self, ledger: Ledger, index: int, number: int) -> None:
        super().__init__()
        self.number = number
        self._ledger = ledger
        self._index = index
        self._row = Row(number)

    def new_id(self) -> str:
        """Return the id of a new session, which says that it is in this process."""
        return f"p{self.number}-{uuid.uuid4()}"

    def take(self, limit: int, since: int) -> bool:
        """See `Slots.take`."""
        with self._ledger.locked():
            rows = self._ledger.rows()
            if sum(row.sessions for row in rows) >= limit:
                return False
            if any(row.waiting and row.since < since for row in rows):
                return False
            self._row.sessions += 1
            self._write()
        return True

    def give(self) -> None:
        """See `Slots.give`."""
        with self._ledger.locked():
            self._row.sessions -= 1
            self._write()

    def queue(self, waiting: int, since: int) -> None:
        """See `Slots.queue`."""
        with self._ledger.locked():
            self._row.waiting, self._row.since = waiting, since
            self._write()

    def connections(self, taken: int, still_open: int) -> None:
        """Tell the parent how many connections came, and how many are left; it balances by that."""
        self._row.taken, self._row.open = taken, still_open
        self._write()

    @property
    def taken(self) -> int:
        """See `Slots.taken`."""
        return sum(row.sessions for row in self._ledger.rows())

    @property
    def waiting(self) -> int:
        """See `Slots.waiting`."""
        return sum(row.waiting for row in self._ledger.rows())

    def others(self) -> list[int]:
        """Return the numbers of the other processes."""
        return [row.number for row in self._ledger.rows() if row.number not in (0, self.number)]

    def home(self) -> int:
        """Return the number of the process that has the session of requests without a session id: the oldest."""
        return min([self.number, *self.others()])

    def elsewhere(self, session_id: str) -> int | None:
        """Return the number of the other process that a session is in; None if it is in none.

        Raises:
            SessionLost: It was in a process that is gone.
        """
        found = _SESSION.match(session_id)
        number = int(found[1]) if found else self.number
        if number == self.number or not 0 < number <= self._ledger.last:
            return None
        if number not in self.others():
            raise SessionLost(DIED)
        return number

    def _write(self) -> None:
        self._ledger.write(self._index, self._row)


def load_of(row: Row, handed: int) -> int:
    """Return how much a process has to do: its sessions, its connections, and those on their way to it.

    Args:
        row: What it tells of itself.
        handed: How many connections it was handed so far.
    """
    return row.sessions + row.open + max(0, handed - row.taken)
