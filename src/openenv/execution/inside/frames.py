"""Messages between a workspace, its keeper and its interpreter: a JSON header and a body of bytes.

Both lengths come first, so a reader knows at once what is too long for it. What an interpreter says may have been
written by the code it runs, so a reader believes nothing: it raises, and the interpreter is ended.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

__all__ = ["LONGEST", "Frame", "FrameError", "Reader", "pack"]

Frame = tuple[dict[str, Any], bytes]
LONGEST = 256 * 1024 * 1024
_LENGTHS = struct.Struct("!II")


class FrameError(ValueError):
    """What came is not a message."""


def pack(header: dict[str, Any], body: bytes = b"") -> bytes:
    """Return a message as bytes."""
    text = json.dumps(header).encode()
    return b"%b%b%b" % (_LENGTHS.pack(len(text), len(body)), text, body)


class Reader:
    """Puts messages together from what comes.

    Args:
        longest: Bytes that a message may have.
    """

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._waiting = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes, and return the messages that are complete with them.

        Raises:
            FrameError: It is none, or too long.
        """
        waiting = self._waiting
        waiting += data
        while len(waiting) >= _LENGTHS.size:
            header, body = _LENGTHS.unpack_from(waiting)
            end = _LENGTHS.size + header + body
            if end > self._longest:
                raise FrameError(f"a message of {end:,} bytes; {self._longest:,} are allowed")
            if len(waiting) < end:
                return
            start = _LENGTHS.size + header
            found = (_read(bytes(waiting[_LENGTHS.size : start])), bytes(waiting[start:end]))
            del waiting[:end]
            yield found


def _read(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"the header of a message is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise FrameError("the header of a message is not an object")
    return header
