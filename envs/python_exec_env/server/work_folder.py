"""The folder of one episode, which programs may do anything to: replace it, lock it, nest it without end.

Everything here blocks, and is called from threads. A folder is walked with a list of what is still to be seen,
never by recursion, and emptied by moving what is deep to the top, so no depth of nesting is too much.
"""

import contextlib
import os
import tempfile
from pathlib import Path
from uuid import uuid4

MAX_NAMES = 1000

Files = dict[str, tuple[int, int, int]]


class WorkFolder:
    """A new folder with a place to work in and a place for temporary files.

    Attributes:
        work: Where programs run.
        temporary: Their `TMPDIR`.
    """

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="openenv_pyexec_"))
        self.work = self._root / "work"
        self.temporary = self._root / "tmp"

    def put(self, name: str, content: bytes) -> None:
        """Write a file to work with, whatever earlier programs have done to the folders or left at its place."""
        for folder in (self._root, self.work, self.temporary):
            if folder.is_symlink() or not folder.is_dir():
                remove(folder)
                folder.mkdir()
            folder.chmod(0o700)
        # A named pipe of that name would hold up the writer for ever.
        remove(self.work / name)
        (self.work / name).write_bytes(content)

    def files(self) -> Files:
        """Return modification time, size and inode of all files to work with, by their path."""
        found: Files = {}
        waiting = [self.work]
        while waiting:
            for entry in _entries(waiting.pop()):
                with contextlib.suppress(OSError):  # it may be gone by now
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    else:
                        status = entry.stat(follow_symlinks=False)
                        path = os.path.relpath(entry.path, self.work)
                        found[path] = (status.st_mtime_ns, status.st_size, status.st_ino)
        return found

    def remove(self) -> None:
        """Remove the folder.

        Raises:
            OSError: Something in it cannot be removed.
        """
        remove(self._root)


def changed(before: Files, after: Files, besides: str) -> list[str]:
    """Return the names of the files that are not as they were, the first `MAX_NAMES` of them."""
    names = sorted(name for name in (before.keys() | after.keys()) if before.get(name) != after.get(name))
    # A name need not be text in any encoding, but what is sent has to be.
    shown = (os.fsencode(name).decode("utf-8", "replace") for name in names if name != besides)
    return list(shown)[:MAX_NAMES]


def remove(path: Path) -> None:
    """Remove a file or a folder, however deep and whatever its permissions; nothing there is fine too.

    Raises:
        OSError: Something cannot be removed.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for last_attempt in (False, False, True):  # a program that is being killed may still add to it
        _empty(path)
        try:
            path.rmdir()
            return
        except OSError:
            if last_attempt:
                raise


def _empty(top: Path) -> None:
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        for entry in _entries(folder):
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    os.chmod(entry.path, 0o700)
                    waiting.append(Path(entry.path).rename(top / uuid4().hex))
                else:
                    os.unlink(entry.path)
        if folder is not top:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        folder.chmod(0o700)
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
