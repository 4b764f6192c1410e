"""The last lines that a process or a container wrote, kept in bounded memory.

One daemon thread empties the pipe at all times and only appends blocks of bytes: a flood of output costs the
trainer no work per line and never makes the writer wait. Lines are made when somebody asks for them.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator
from io import IOBase
from typing import IO

__all__ = ["LogTail", "as_shown"]

KEPT_BYTES = 256 * 1024
_BLOCK = 64 * 1024

# What would act on the reader's terminal: escape sequences, and control characters other than the tab.
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[^\[]?|[\x00-\x08\x0b-\x1f\x7f]")


class LogTail:
    """Reads a pipe to its end and remembers what came last: at most `lines` lines, at most 512 KiB.

    Args:
        pipe: The read end, which belongs to this object from now on and is closed at its end; or blocks of bytes,
            as a network connection gives them.
        lines: How many lines are remembered.
    """

    def __init__(self, pipe: IO[bytes] | Iterable[bytes], *, lines: int) -> None:
        self._lines = lines
        self._content = bytearray()
        self._cut = False
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, args=(pipe,), name="openenv-log", daemon=True)
        self._reader.start()

    def _read(self, pipe: IO[bytes] | Iterable[bytes]) -> None:
        for block in _blocks(pipe) if isinstance(pipe, IOBase) else pipe:
            with self._lock:
                self._content += block
                if len(self._content) > 2 * KEPT_BYTES - _BLOCK:
                    del self._content[:-KEPT_BYTES]
                    self._cut = True

    def tail(self, lines: int) -> str:
        """Return the last lines, oldest first, without control characters."""
        with self._lock:
            content, cut = bytes(self._content), self._cut
        if cut:
            # The first line has lost its beginning. Half a secret would not be recognised as one.
            content = content.partition(b"\n")[2]
        wanted = min(lines, self._lines)
        found = content.decode("utf-8", "replace").rstrip("\n").split("\n")
        return "\n".join(map(as_shown, found[-wanted:])) if wanted > 0 else ""

    def finish(self, timeout_s: float) -> None:
        """Wait until the pipe has been read to its end, which comes when no process holds it any more."""
        self._reader.join(timeout_s)


def _blocks(pipe: IOBase) -> Iterator[bytes]:
    with pipe:
        descriptor = pipe.fileno()
        while block := os.read(descriptor, _BLOCK):
            yield block


def as_shown(line: str) -> str:
    """Return a line without what would act on a terminal."""
    # A progress bar writes its line again and again; what a terminal would show is the last time.
    return _CONTROLS.sub("", line.rstrip("\r").rpartition("\r")[2])
