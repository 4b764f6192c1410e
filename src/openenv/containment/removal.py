"""Removes what a program that was held in has left: folders of any depth, locked ones, links to anywhere.

Nothing goes through a symbolic link, and however deep a tree is, two folders of it are open at a time: the way back
up is `..`, and it is looked at whether that is the folder that was left.
"""

from __future__ import annotations

import os
from contextlib import suppress

__all__ = ["remove"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(top: str) -> None:
    """Remove a folder with all that is in it. What cannot be removed stays, and nothing is raised.

    No program should be left that could add to it.
    """
    with suppress(OSError):
        _empty(_opened(top))
        os.rmdir(top)


def _empty(here: int) -> None:
    """Remove all that is in an open folder, and close it."""
    try:
        # The folders down to `here`: what each is called, which it is, and what it still has to be freed of.
        way = [("", os.fstat(here), os.listdir(here))]
        while way:
            name, _, left = way[-1]
            if left:
                entry = left.pop()
                below = _removed_or_opened(entry, here)
                if below is not None:
                    os.close(here)
                    here = below
                    way.append((entry, os.fstat(here), os.listdir(here)))
                continue
            way.pop()
            if way:
                above = os.open("..", _FOLDER, dir_fd=here)
                os.close(here)
                here = above
                if not os.path.samestat(os.fstat(here), way[-1][1]):
                    return  # moved meanwhile, to where nothing is ours to remove
                with suppress(OSError):
                    os.rmdir(name, dir_fd=here)
    finally:
        os.close(here)


def _removed_or_opened(entry: str, folder: int) -> int | None:
    """Remove what is no folder; return a descriptor of one that is."""
    try:
        os.unlink(entry, dir_fd=folder)
    except OSError:
        with suppress(OSError):
            return _opened(entry, folder)
    return None


def _opened(name: str, within: int | None = None) -> int:
    """Open a folder that its owner may then change."""
    try:
        found = os.open(name, _FOLDER, dir_fd=within)
    except PermissionError:  # locked; that of a link would be another error
        os.chmod(name, 0o700, dir_fd=within)
        found = os.open(name, _FOLDER, dir_fd=within)
    with suppress(OSError):
        os.fchmod(found, 0o700)
    return found
