"""Pictures made smaller by areas: each new pixel is the mean of what it covers.

A pixel of the new picture covers a few lines of the old one, the first and the last in part, so it is resized by a
handful of weighted sums. They are done in a fixed order: the bytes are the same on every machine.
"""

from functools import lru_cache
from math import ceil

import numpy as np

Tap = tuple[np.ndarray, np.ndarray]


def resized(pixels: np.ndarray, size: int) -> np.ndarray:
    """Return a picture as a square.

    Args:
        pixels: Of dtype uint8, (height, width) or (height, width, channels).
        size: Height and width of the new one.
    """
    height, width, *channels = pixels.shape
    high = _lines(pixels.reshape(height, -1), size).reshape(size, width, -1)
    turned = np.ascontiguousarray(high.transpose(1, 0, 2)).reshape(width, -1)  # whole lines are quicker to take
    wide = _lines(turned, size).reshape(size, size, -1).transpose(1, 0, 2)
    return np.rint(wide).astype(np.uint8).reshape(size, size, *channels)


def _lines(picture: np.ndarray, size: int) -> np.ndarray:
    """Return so many lines instead of those of a picture, as float32."""
    (first, weights), *others = _taps(len(picture), size)
    made = picture[first] * weights
    for at, weights in others:
        made += picture[at] * weights
    return made


@lru_cache(maxsize=64)
def _taps(source: int, target: int) -> list[Tap]:
    """Return which lines each new line is made of, with their weights: the first of each, then the second."""
    edges = np.arange(target + 1) * source / target
    first = np.floor(edges[:-1] + 1e-9).astype(int)
    taps = []
    for number in range(ceil(source / target) + 1):
        at = first + number
        covered = np.minimum(at + 1, edges[1:]) - np.maximum(at, edges[:-1])
        weights = np.clip(covered, 0.0, None) * target / source
        if weights.max() > 1e-9:
            taps.append((np.minimum(at, source - 1), weights.astype(np.float32)[:, None]))
    return taps
