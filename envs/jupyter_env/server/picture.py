"""Reads the PNG that an agent has drawn, as far as a grader needs it: small, 8 bits a channel, not interlaced."""

import struct
import zlib

MAGIC = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
MOST_PIXELS = 20_000


class PictureError(ValueError):
    """It is no PNG, or none of a kind that is read here."""


def grey(data: bytes) -> list[list[int]]:
    """Return the rows of a picture that is grey, 0 for black and 255 for white.

    Raises:
        PictureError: It cannot be read, or has a colour.
    """
    width, channels, rows = _rows(data)
    colours = 3 if channels >= 3 else 1
    found = []
    for row in rows:
        pixels = [row[start : start + channels] for start in range(0, width * channels, channels)]
        if any(len(set(pixel[:colours])) != 1 or bytes(pixel[colours:]) not in (b"", b"\xff") for pixel in pixels):
            raise PictureError("a pixel is not grey, or one sees through it")
        found.append([pixel[0] for pixel in pixels])
    return found


def _rows(data: bytes) -> tuple[int, int, list[bytearray]]:
    try:
        width, height, channels, packed = _parts(data)
        line = 1 + width * channels
        reader = zlib.decompressobj()
        raw = reader.decompress(packed, line * height + 1)
    except (struct.error, zlib.error, KeyError) as error:
        raise PictureError(f"not a PNG that can be read: {error}") from error
    if len(raw) != line * height:
        raise PictureError("the PNG has not as many pixels as it says")
    rows: list[bytearray] = []
    above = bytearray(width * channels)
    for start in range(0, len(raw), line):
        above = _unfiltered(raw[start], bytearray(raw[start + 1 : start + line]), above, channels)
        rows.append(above)
    return width, channels, rows


def _parts(data: bytes) -> tuple[int, int, int, bytes]:
    if not data.startswith(MAGIC):
        raise PictureError("not a PNG")
    header = packed = b""
    at = len(MAGIC)
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            header = body
        elif kind == b"IDAT":
            packed += body
        at += 12 + size
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if depth != 8 or interlaced or not 0 < width * height <= MOST_PIXELS:
        raise PictureError("only small PNGs with 8 bits a channel, not interlaced, are read")
    return width, height, CHANNELS[colour], packed


def _unfiltered(kind: int, row: bytearray, above: bytearray, step: int) -> bytearray:
    """Undo a filter of PNG; see section 9 of its specification."""
    for i, value in enumerate(row):
        left = row[i - step] if i >= step else 0
        up, corner = above[i], above[i - step] if i >= step else 0
        if kind == 4:
            guess = left + up - corner
            nearest = min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[
                2
            ]
        else:
            nearest = (0, left, up, (left + up) // 2)[kind] if kind < 4 else 0
        row[i] = (value + nearest) & 0xFF
    return row
