"""What is done to the files of a workspace on its owner's behalf, in a process that is held like any program there.

So wherever a link leads that a program has left behind, it leads no further than the program itself could go. Each
function gets its argument and its input, and returns what is written to standard output; an OSError is told.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable

__all__ = ["ACTIONS"]


def _read(path: str, _: bytes) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _write(path: str, data: bytes) -> bytes:
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return b""


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
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(path, filter="data")
        else:  # a Python of before June 2023; what is written is held in any case
            archive.extractall(path)  # noqa: S202
    return b""


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
