"""Comparing what a server sent with a pattern of what it has to send.

A pattern is the plain value itself, with room for what is not fixed: `ANY` is anything, a type is any value of it,
a set is one of its members, a dictionary may have more keys in the answer. So the same object says what is compared
and is what a failure shows as expected.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from openenv.validation.checks import CheckFailed

__all__ = ["ABSENT", "ANY", "NUMBER", "TEXT", "expect", "shown"]

ANY: Any = object
"""Anything, but it has to be there."""

NUMBER: Any = (int, float)
"""An integer or a fraction."""


class _Absent:
    """A key that must not be there."""


class _Text:
    """A text that is not empty."""


ABSENT, TEXT = _Absent(), _Text()

_LONGEST = 400
_NAMES = {
    object: "anything",
    int: "an integer",
    float: "a fraction",
    str: "a text",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


def expect(pattern: Any, got: Any, about: str = "") -> None:
    """Compare.

    Args:
        pattern: What has to be.
        got: What is.
        about: What it was the answer to.

    Raises:
        CheckFailed: They differ.
    """
    if not _fits(pattern, got):
        raise CheckFailed(shown(pattern) + (f" {about}" if about else ""), shown(got))


def _fits(pattern: Any, got: Any) -> bool:
    if isinstance(pattern, dict):
        return isinstance(got, dict) and all(_fits_key(one, key, got) for key, one in pattern.items())
    if isinstance(pattern, list):
        return isinstance(got, list) and len(pattern) == len(got) and all(map(_fits, pattern, got))
    if isinstance(pattern, set | frozenset | tuple):
        return any(_fits(one, got) for one in pattern)
    if pattern is TEXT:
        return isinstance(got, str) and bool(got.strip())
    if isinstance(pattern, type):
        return isinstance(got, pattern) and (pattern in (bool, object) or not isinstance(got, bool))
    return type(pattern) is type(got) and bool(pattern == got)


def _fits_key(pattern: Any, key: str, got: Mapping[str, Any]) -> bool:
    return key not in got if pattern is ABSENT else key in got and _fits(pattern, got[key])


# --- for people --------------------------------------------------------------------------------------


def shown(value: Any) -> str:
    """Return a pattern, or what a server sent, as a short text."""
    text = _text(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 20]} ... ({len(text)} characters)"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))}: {_text(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, set | frozenset | tuple):
        return _either(value if isinstance(value, tuple) else sorted(value, key=str))
    if value is ABSENT:
        return "<not there>"
    if value is TEXT:
        return "<a text>"
    if isinstance(value, type):
        return f"<{_NAMES.get(value, value.__name__)}>"
    if isinstance(value, bytes):
        return f"<{len(value)} bytes {value[:16].hex(' ')}>"
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return f"<{type(value).__name__}>"


def _either(values: Sequence[Any]) -> str:
    return "<a number>" if values == NUMBER else " or ".join(map(_text, values))
