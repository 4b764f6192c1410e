"""A tree of folders deeper than a recursion of Python, or a path, can go."""

import os
from pathlib import Path

DEPTH = 3000


def fill(top: Path) -> None:
    """Make `DEPTH` folders in a folder, one in the other, with a file in the last."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
