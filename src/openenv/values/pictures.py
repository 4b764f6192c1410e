"""Pixels as a PNG file: what people, and models that see, are shown of an array.

Written with what Python has, since a picture for a page is no reason to install an image library.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["png"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}
"""PNG's colour types by the number of channels: grey, colour, colour with transparency."""


def png(pixels: np.ndarray, *, level: int = 1) -> bytes:
    """Return pixels as a PNG file.

    Args:
        pixels: Of dtype uint8: (height, width) for grey, (height, width, 1, 3 or 4) for grey, RGB or RGBA.
        level: How hard to compress, 0 to 9.

    Raises:
        ValueError: It is no picture.
    """
    shape = pixels.shape if pixels.ndim != 2 else (*pixels.shape, 1)
    if len(shape) != 3 or shape[2] not in _COLOUR_TYPES or pixels.dtype.str != "|u1" or 0 in shape:
        raise ValueError(f"No picture: {pixels.dtype} of shape {pixels.shape}")
    height, width, channels = shape
    rows, line = pixels.tobytes(), width * channels
    # Each line starts with the number of its filter; 0 is none.
    lines = b"".join(b"\0" + rows[start : start + line] for start in range(0, len(rows), line))
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, level)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
