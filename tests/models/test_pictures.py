"""Pixels as PNG."""

import struct
import zlib

import numpy as np
import pytest

from openenv.values.pictures import png


def pixels_of(data: bytes, channels: int) -> np.ndarray:
    """Read back what `png` wrote, by the rules of the format."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    place, chunks = 8, {}
    while place < len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        body = data[place + 8 : place + 8 + size]
        assert struct.unpack(">I", data[place + 8 + size : place + 12 + size])[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        place += 12 + size
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, colour, rest) == (8, {1: 0, 3: 2, 4: 6}[channels], [0, 0, 0])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + width * channels)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(height, width, channels)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_picture_holds_every_pixel(channels):
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    assert (pixels_of(png(pixels), channels) == pixels).all()


def test_grey_needs_no_channels_and_pixels_need_not_be_in_order():
    pixels = np.arange(35, dtype=np.uint8).reshape(5, 7)
    assert (pixels_of(png(pixels.T), 1)[..., 0] == pixels.T).all()


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2, 2), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 3), np.uint8),
    ],
    ids=lambda pixels: f"{pixels.dtype}{pixels.shape}",
)
def test_what_is_no_picture_is_refused(pixels):
    with pytest.raises(ValueError, match="No picture"):
        png(pixels)
