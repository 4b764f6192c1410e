"""The folder of one episode, which programs may do anything to: replace it, lock it, nest it without end.

So nothing here goes through a symbolic link, least of all one in the place of the folder itself: a program that
puts a link to `/` there must not have the server walk, unlock or empty the machine. Everything blocks, and is
called from threads.
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from uuid import uuid4

MAX_FILES = 20_000
MAX_NAMES = 1000
ATTEMPTS = 3

Files = dict[str, tuple[int, int, int]]


class WorkFolder:
    """A new folder with a place to work in and a place for temporary files.

    Attributes:
        work: Where programs run.
        temporary: Their `TMPDIR`.
    """

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="openenv_pyexec_")).resolve()
        self.work = self._root / "work"
        self.temporary = self._root / "tmp"

    def put(self, name: str, content: bytes) -> None:
        """Write a file to work with, whatever earlier programs have done to the folders or left at its place."""
        for folder in (self._root, self.work, self.temporary):
            if not _is_folder(folder):
                remove(folder)
                folder.mkdir()
            _unlock(folder)
        # A named pipe of that name would hold up the writer for ever.
        remove(self.work / name)
        (self.work / name).write_bytes(content)

    def files(self) -> Files:
        """Return modification time, size and inode of the first `MAX_FILES` files, by their path."""
        found: Files = {}
        waiting = [self.work] if _is_folder(self.work) else []
        while waiting and len(found) < MAX_FILES:
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
    """Remove a file, a link or a folder, however deep and whatever its permissions; nothing there is fine too.

    Raises:
        OSError: Something cannot be removed.
    """
    for _ in range(ATTEMPTS):  # a program that is being killed may still add to it
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
            return
        with contextlib.suppress(RecursionError):
            shutil.rmtree(path, ignore_errors=True)
        if not os.path.lexists(path):
            return
        _loosen(path)
    path.rmdir()


def _loosen(top: Path) -> None:
    """Undo what a removal stumbles over: unlock all folders, and move them to the top, so that none is deep."""
    waiting = [top] if _is_folder(top) else []
    while waiting:
        folder = waiting.pop()
        _unlock(folder)
        for entry in _entries(folder):
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    _unlock(Path(entry.path))  # a folder that is locked cannot be moved
                    waiting.append(Path(entry.path).rename(top / uuid4().hex))


def _is_folder(path: Path) -> bool:
    """Whether there is a folder at just this place, and no link on the way to it."""
    return os.path.isdir(path) and os.path.realpath(path) == str(path)


def _unlock(folder: Path) -> None:
    if _is_folder(folder) and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        folder.chmod(0o700)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """List a folder that a listing has shown to be one, or that was checked; links are not gone through."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:  # locked, or gone
        pass
    return []
