"""What a program writes, of which the beginning and the end are kept and the middle is only counted."""

from __future__ import annotations

__all__ = ["Captured"]


class Captured:
    """The output of one call on one stream.

    Args:
        most: Bytes that are kept: half of them from the beginning, half from the end.

    Attributes:
        total: Bytes that were written.
    """

    def __init__(self, most: int) -> None:
        self.total = 0
        self._half = max(1, most // 2)
        self._head = bytearray()
        self._tail = bytearray()

    def take(self, data: bytes) -> bytes:
        """Take what was written; return what of it is among the beginning, which can be shown at once."""
        self.total += len(data)
        shown = data[: self._half - len(self._head)]
        self._head += shown
        self._tail += data[len(shown) :]
        if len(self._tail) > 2 * self._half:
            del self._tail[: -self._half]
        return shown

    @property
    def cut(self) -> int:
        """Bytes that are not kept."""
        return self.total - len(self._head) - min(len(self._tail), self._half)

    def kept(self) -> bytes:
        """Return what is kept, with a note of what is not in between."""
        tail = bytes(self._tail[-self._half :])
        note = f"\n[... {self.cut:,} bytes were cut here ...]\n".encode() if self.cut else b""
        return bytes(self._head) + note + tail
