"""The Python blocks of a Markdown page, and what their comments say they print.

A block fenced as `python` is a program, unless its first line is a comment with a file name: that one is a file
for the programs of its page. Anything that cannot be run is fenced as `text`. In a program, the comment behind a
`print(...)` is what it prints.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE_NAME = re.compile(r"# ([\w/]+\.py)\n")
_PRINTED = re.compile(r"^\s*print\(.*\)  # (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One block of a page.

    Attributes:
        page: The page's file.
        line: The line of its first line of code.
        code: The code.
    """

    page: Path
    line: int
    code: str

    @property
    def name(self) -> str:
        """Where it is, for people."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        """The file it is to be put into, if it is one."""
        found = _FILE_NAME.match(self.code)
        return found.group(1) if found else None

    @property
    def printed(self) -> list[str]:
        """The lines that its comments say it prints."""
        return _PRINTED.findall(self.code)


def pages() -> list[Path]:
    """Return the pages whose blocks are run."""
    return [
        ROOT / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "envs").glob("*/README.md")),
    ]


def blocks(page: Path) -> list[Block]:
    """Return the Python blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [Block(page, text.count("\n", 0, found.start(1)) + 1, found.group(1)) for found in _FENCE.finditer(text)]


def run(block: Block, folder: Path) -> list[str]:
    """Run a program in a folder that has the files of its page, and return the lines it printed."""
    for other in blocks(block.page):
        if other.file is not None:
            place = folder / other.file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(other.code, encoding="utf-8")
    places = [str(folder), str(ROOT / "src"), str(ROOT / "envs"), os.environ.get("PYTHONPATH", "")]
    ran = subprocess.run(
        [sys.executable, "-c", "\n" * (block.line - 1) + block.code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, f"{block.name} failed:\n{ran.stderr}"
    return ran.stdout.splitlines()
