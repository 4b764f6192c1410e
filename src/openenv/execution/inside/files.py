"""What is done to the files of a workspace on its owner's behalf, in a process that is held like any program there.

So wherever a link leads that a program has left behind, it leads no further than the program itself could go. Each
function gets its argument and its input, and returns what is written to standard output; an OSError is told.
"""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import tarfile
from collections.abc import Callable

__all__ = ["ACTIONS"]


def _read(path: str, _: bytes) -> bytes:
    with open(path, "rb", opener=_opened) as file:
        return file.read()


def _write(path: str, data: bytes) -> bytes:
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, exist_ok=True)
    with open(path, "wb", opener=_opened) as file:
        file.write(data)
    return b""


def _opened(path: str, flags: int) -> int:
    """Open a file that is one: a pipe would be waited for, and a device may have no end."""
    descriptor = os.open(path, flags | os.O_NONBLOCK, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, f"It is no regular file: {path!r}")
    return descriptor


def _remove(path: str, _: bytes) -> bytes:
    import shutil

    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)
    return b""


def _list(path: str, _: bytes) -> bytes:
    found = []
    for entry in sorted(os.scandir(path), key=lambda one: one.name):
        name = os.fsencode(entry.name).decode("utf-8", "replace")
        found.append(name + "/" if entry.is_dir(follow_symlinks=False) else name)
    return json.dumps(found).encode()


def _unpack(path: str, data: bytes) -> bytes:
    os.makedirs(path, exist_ok=True)
    with _Archive.open(fileobj=io.BytesIO(data)) as archive:
        if hasattr(tarfile, "tar_filter"):
            archive.extractall(path, filter=_copied)  # noqa: S202 - held, and filtered
        else:  # a Python of before June 2023; what is written is held in any case
            archive.extractall(path)  # noqa: S202
    return b""


class _Archive(tarfile.TarFile):
    """Gives files their modes as it makes them, for afterwards that may be refused."""

    def makefile(self, tarinfo: tarfile.TarInfo, targetpath: str) -> None:  # type: ignore[override]
        mode = (tarinfo.mode or 0) & 0o777 | 0o600
        os.close(os.open(targetpath, os.O_WRONLY | os.O_CREAT, mode))
        super().makefile(tarinfo, targetpath)


def _copied(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
    """Leave out pipes and devices; links lead wherever they do, for this process goes nowhere else either."""
    return None if member.ischr() or member.isblk() or member.isfifo() else tarfile.tar_filter(member, path)


def _pack(path: str, _: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(path, arcname=".")
    return packed.getvalue()


ACTIONS: dict[str, Callable[[str, bytes], bytes]] = {
    "read": _read,
    "write": _write,
    "remove": _remove,
    "list": _list,
    "unpack": _unpack,
    "pack": _pack,
}
