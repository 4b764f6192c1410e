"""What a docstring says of a function and of its parameters, in the styles of Google, NumPy and Sphinx.

Nothing here fails: what is not understood stays in the description, which a model reads as it is.
"""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple

_GOOGLE = re.compile(r"(args|arguments|parameters|params):\s*$", re.IGNORECASE)
_GOOGLE_ITEM = re.compile(r"(\*{0,2}\w+)\s*(\([^)]*\))?\s*:\s*(.*)$")
_NUMPY_ITEM = re.compile(r"(\*{0,2}\w+)\s*(:.*)?$")
_SPHINX_ITEM = re.compile(r":param\s+(?:[^:]*\s)?(\w+)\s*:\s*(.*)$")
_SPHINX_TYPE = re.compile(r":type\s+\w+\s*:")


class Description(NamedTuple):
    """A docstring without its list of parameters, and that list."""

    text: str
    parameters: dict[str, str]


def describe(docstring: str | None) -> Description:
    """Read a docstring; one that is missing says nothing."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    kept: list[str] = []
    found: dict[str, str] = {}
    at = 0
    while at < len(lines):
        if _GOOGLE.match(lines[at]) and at + 1 < len(lines) and _indent(lines[at + 1]):
            at = _google(lines, at + 1, found)
        elif lines[at].lower() == "parameters" and at + 1 < len(lines) and set(lines[at + 1].strip()) == {"-"}:
            at = _numpy(lines, at + 2, found)
        elif lines[at].startswith(":"):
            at = _sphinx(lines, at, found, kept)
        else:
            kept.append(lines[at])
            at += 1
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
    return Description(text, {name.lstrip("*"): about for name, about in found.items() if about})


def _google(lines: list[str], at: int, found: dict[str, str]) -> int:
    """Read the indented items from a line on; return the line after them."""
    depth = _indent(lines[at])
    name = ""
    while at < len(lines) and (not lines[at].strip() or _indent(lines[at])):
        line = lines[at].strip()
        item = _GOOGLE_ITEM.match(line) if _indent(lines[at]) <= depth else None
        if item:
            name = item[1]
            found[name] = item[3]
        elif line and name:
            found[name] = f"{found[name]} {line}".strip()
        at += 1
    return at


def _numpy(lines: list[str], at: int, found: dict[str, str]) -> int:
    """Read items until the next section, which has a line of dashes below it; return the line after them."""
    name = ""
    while at < len(lines) and not (at + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[at + 1].strip())):
        line = lines[at]
        item = _NUMPY_ITEM.match(line) if line and not _indent(line) else None
        if item:
            name = item[1]
            found[name] = ""
        elif line.strip() and not _indent(line):
            break
        elif line.strip() and name:
            found[name] = f"{found[name]} {line.strip()}".strip()
        at += 1
    return at


def _sphinx(lines: list[str], at: int, found: dict[str, str], kept: list[str]) -> int:
    """Read one field, with the indented lines that go on with it; return the line after it."""
    item = _SPHINX_ITEM.match(lines[at])
    if item is None:
        if not _SPHINX_TYPE.match(lines[at]):
            kept.append(lines[at])
        return at + 1
    about = item[2]
    at += 1
    while at < len(lines) and lines[at].strip() and _indent(lines[at]):
        about = f"{about} {lines[at].strip()}"
        at += 1
    found[item[1]] = about.strip()
    return at


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
