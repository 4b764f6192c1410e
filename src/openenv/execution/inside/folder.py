"""The folder of a workspace, looked at and emptied from outside while programs may do anything to it.

Nothing here goes through a symbolic link: folders are opened below one another by descriptor, so a link that is put
in the place of a folder just then leads nowhere.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from openenv.containment.removal import remove

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Files", "Usage", "below", "changed", "empty", "files"]

MOST_FILES = 20_000
MOST_NAMES = 1000
DEEPEST = 64

Files = dict[str, tuple[int, int, int]]
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Usage(NamedTuple):
    """What is in a folder.

    Attributes:
        files: Modification time, size and inode of files and links, by path; the first `MOST_FILES`.
        bytes: Their sizes on the disk together.
    """

    files: Files
    bytes: int


def files(top: str) -> Usage:
    """Look at all that is in a folder."""
    found: Files = {}
    size = 0
    waiting: list[tuple[int, str]] = []
    with contextlib.suppress(OSError):
        waiting.append((os.open(top, _FOLDER), ""))
    while waiting:
        folder, prefix = waiting.pop()
        try:
            for name in os.listdir(folder):
                if len(found) >= MOST_FILES:
                    break
                with contextlib.suppress(OSError):  # gone meanwhile, or closed to us
                    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                    if not _is_folder(status):
                        found[prefix + name] = (status.st_mtime_ns, status.st_size, status.st_ino)
                        size += status.st_blocks * 512
                    elif prefix.count("/") < DEEPEST:
                        waiting.append((os.open(name, _FOLDER, dir_fd=folder), f"{prefix}{name}/"))
        except OSError:
            pass
        finally:
            os.close(folder)
    return Usage(found, size)


def changed(before: Files, after: Files) -> list[str]:
    """Return the names of what is not as it was, the first `MOST_NAMES` of them."""
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    # A name need not be text in any encoding, but what is sent has to be.
    return [os.fsencode(name).decode("utf-8", "replace") for name in names[:MOST_NAMES]]


def empty(top: str, kept: Collection[str] = ()) -> None:
    """Remove all that is in a folder, when no program is left in it that could add to it.

    Args:
        top: The folder.
        kept: Paths below it that stay, as `below` has given them.
    """
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(top)):
            folder = entry.is_dir(follow_symlinks=False)
            if entry.path in kept:
                if folder and not os.path.ismount(entry.path):
                    empty(entry.path, kept)
            elif folder:
                remove(entry.path)
            else:
                os.unlink(entry.path)


def below(top: str) -> set[str]:
    """Return the paths of all that is in a folder and what is below it, up to where something else is mounted."""
    found: set[str] = set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(top):
            found.add(entry.path)
            if entry.is_dir(follow_symlinks=False) and not os.path.ismount(entry.path):
                found |= below(entry.path)
    return found


def _is_folder(status: os.stat_result) -> bool:
    return (status.st_mode & 0o170000) == 0o040000
