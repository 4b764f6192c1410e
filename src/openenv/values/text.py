"""JSON text of trees of values, what it must not hold, and why it could not be made."""

from __future__ import annotations

import re
from math import isfinite
from typing import Any

from pydantic_core import from_json, to_json

from openenv.errors import SerializationError
from openenv.values.tagged import TAGS, decode, encode, encode_array, is_array, no_form, python_scalar


def dumps(value: Any, *, what: str = "value") -> bytes:
    """Return JSON text for a tree of plain values, bytes, arrays and models.

    Raises:
        SerializationError: A value has no JSON form; the message names `what` and the reason.
    """
    try:
        # At the top a dictionary is an object whose members the reader knows by name, so it is never wrapped.
        top = {key: encode(item) for key, item in value.items()} if type(value) is dict else encode(value)
        raw = to_json(top, fallback=fallback)
    except Exception as error:  # pydantic-core passes through whatever a serialiser raises
        raise SerializationError(f"The {what} cannot be serialised: {reason(error)}") from error
    refuse_non_finite(raw, what=what)
    return raw


def loads(raw: bytes | str) -> Any:
    """Return the plain values of a JSON text, tagged objects revived.

    Raises:
        ValueError: Not JSON, or it holds NaN or infinity, or a tagged object is malformed.
    """
    value = from_json(raw, allow_inf_nan=False)
    return decode(value) if _contains(raw, *TAGS) else value


def _contains(raw: bytes | str, *words: str) -> bool:
    if isinstance(raw, str):
        return any(word in raw for word in words)
    return any(word.encode() in raw for word in words)


def may_be_non_finite(raw: bytes) -> bool:
    """Return whether a JSON text has the words for NaN or infinity, be it as numbers or within a string.

    The common case costs a search for two bytes, which is many times as fast as one for the words.
    """
    return (_N in raw and b"NaN" in raw) or (_I in raw and b"Infinity" in raw)


_N, _I = b"NI"


def refuse_non_finite(raw: bytes | str, *, what: str = "value") -> None:
    """Raise SerializationError if the JSON text holds NaN or infinity as a number.

    The text is parsed only if it has a word for one of them.
    """
    if ("NaN" in raw or "Infinity" in raw) if isinstance(raw, str) else may_be_non_finite(raw):
        refuse_non_finite_tree(from_json(raw, allow_inf_nan=True), what=what)


def refuse_non_finite_tree(value: Any, *, what: str = "value") -> None:
    """Raise SerializationError if a tree of plain values holds NaN or infinity outside its arrays."""
    if not _all_finite(value):
        path = _non_finite_path(value)
        raise SerializationError(
            f"The {what} holds NaN or infinity at {path or 'its top'}; send a finite number or null"
        )


def _all_finite(value: Any) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return True
    return all(map(_all_finite, value))


def _non_finite_path(value: Any, path: str = "") -> str | None:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return path
    if isinstance(value, dict):
        children = ((f"{path}.{key}" if path else str(key), item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        children = ((f"{path}[{index}]", item) for index, item in enumerate(value))
    else:
        return None
    return next((found for at, item in children if (found := _non_finite_path(item, at)) is not None), None)


def fallback(value: Any) -> Any:
    """For pydantic's `to_json(fallback=)`: encodes arrays and NumPy scalars met outside a typed field.

    Raises:
        ValueError: The value is neither.
    """
    if is_array(value):
        return encode_array(value)
    if type(value).__module__ == "numpy":
        return python_scalar(value)
    raise ValueError(no_form(value))


_WRAPPING = re.compile(
    r"^(Error serializing to JSON: |PydanticSerializationError: |Error calling function `\w+`: |ValueError: )+"
)


def reason(error: BaseException) -> str:
    """Return why a serialiser failed, without the library's own wrapping."""
    return _WRAPPING.sub("", text_of(error))


def text_of(error: BaseException) -> str:
    """Return the message of an exception of unknown origin, whose `__str__` may be anything."""
    try:
        return str(error)
    except BaseException:  # even a sys.exit() in there must not end the server
        return "(its message could not be read)"
