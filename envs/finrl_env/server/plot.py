"""The value of a portfolio over the days, as a picture, drawn without a library for it."""

from collections.abc import Sequence

import numpy as np

from openenv.values.pictures import png

WIDTH, HEIGHT, MARGIN = 640, 240, 12
PAPER, GRID = (255, 255, 255), (228, 228, 228)


def plot(lines: Sequence[tuple[Sequence[float], tuple[int, int, int]]]) -> bytes:
    """Return lines as a PNG file, all on one scale.

    Args:
        lines: The values of each, and its colour.
    """
    pixels = np.full((HEIGHT, WIDTH, 3), PAPER, np.uint8)
    every = [value for values, _ in lines for value in values]
    low, high = min(every), max(every)
    span = (high - low) or 1.0
    for fraction in (0.0, 0.25, 0.5, 0.75, 1.0):
        pixels[_row(fraction), MARGIN : WIDTH - MARGIN] = GRID
    columns = np.arange(MARGIN, WIDTH - MARGIN)
    for values, colour in lines:
        places = np.linspace(0, len(values) - 1, len(columns))
        heights = (np.interp(places, np.arange(len(values)), values) - low) / span
        rows = [_row(height) for height in heights]
        for column, row, following in zip(columns, rows, [*rows[1:], rows[-1]], strict=True):
            top, bottom = min(row, following), max(row, following)
            pixels[top : bottom + 2, column] = colour  # at least two pixels thick
    return png(pixels, level=6)


def _row(fraction: float) -> int:
    """Return the row of a height from 0 to 1."""
    return round((HEIGHT - 1 - MARGIN) - fraction * (HEIGHT - 1 - 2 * MARGIN))
