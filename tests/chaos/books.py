"""What was done and what was told, in files that outlive whoever wrote them.

Every environment instance and every client process has an append-only file of its own. A line is one `write`, so
a SIGKILL loses nothing that was done before it.
"""

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = "OPENENV_CHAOS_FOLDER"
"""The environment variable that says where the files are; also the mark by which our processes are found."""

LEDGER, JOURNAL = "ledger", "journal"
"""Of an environment, and of a client."""


class Book:
    """One file, written by one process.

    Attributes:
        name: Its name, which no other book has.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self.name = uuid.uuid4().hex
        self._file = os.open(folder / f"{kind}-{self.name}.jsonl", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        self._pid = os.getpid()
        self.write("made", pid=self._pid)

    def write(self, do: str, **fields: Any) -> None:
        """Add a line."""
        line = json.dumps({"do": do, **fields}, separators=(",", ":")) + "\n"
        os.write(self._file, line.encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def folder() -> Path:
    """Return where this process is to write."""
    return Path(os.environ[FOLDER])


def read(folder: Path, kind: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Return the name and the lines of each book."""
    for file in sorted(folder.glob(f"{kind}-*.jsonl")):
        yield file.stem.removeprefix(f"{kind}-"), [json.loads(line) for line in file.read_text().splitlines()]
