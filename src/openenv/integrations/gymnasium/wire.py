"""Elements of spaces: as they go over the wire, and as they are taken from it.

What comes from an agent is looked at before the environment sees it, since few environments look at their actions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import Space, spaces

__all__ = ["plain", "sent", "taken"]

DEEPEST = 20


def sent(space: Space[Any], value: Any) -> Any:
    """Return an element in the form that it is sent in: arrays, numbers, texts, and lists and objects of them."""
    match space:
        case spaces.Discrete():
            return int(value)
        case spaces.Box() | spaces.MultiDiscrete() | spaces.MultiBinary():
            return np.asarray(value)
        case spaces.Dict():
            return {key: sent(each, value[key]) for key, each in space.spaces.items()}
        case spaces.Tuple():
            return [sent(*pair) for pair in zip(space.spaces, value, strict=True)]
        case spaces.Sequence() if isinstance(value, tuple | list):
            return [sent(space.feature_space, each) for each in value]
        case spaces.OneOf():
            number, chosen = value
            return [int(number), sent(space.spaces[int(number)], chosen)]
    return plain(value)


def plain(value: Any, depth: int = 0) -> Any:
    """Return any value in a form that can be sent; the `repr` of what has none."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str | bytes):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if type(value) is np.ndarray and value.dtype.kind in "biufcSU":
        return value
    if depth < DEEPEST and isinstance(value, dict):
        return {str(key): plain(each, depth + 1) for key, each in value.items()}
    if depth < DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [plain(each, depth + 1) for each in value]
    return repr(value)[:1000]


def taken(space: Space[Any], value: Any) -> Any:
    """Return the element of a space that was sent.

    Raises:
        ValueError: It is none; the message says why.
    """
    match space:
        case spaces.Discrete():
            return _discrete(space, value)
        case spaces.Box():
            return _numbers(value, space.shape, space.dtype, space.low, space.high)
        case spaces.MultiDiscrete():
            return _numbers(value, space.shape, space.dtype, space.start, space.start + space.nvec - 1)
        case spaces.MultiBinary():
            return _numbers(value, space.shape, space.dtype, np.int64(0), np.int64(1))
        case spaces.Dict():
            return _mapping(space, value)
        case spaces.Tuple():
            return tuple(_items(space.spaces, value))
        case spaces.Sequence():
            items = tuple(_items([space.feature_space] * _length(value), value))
            return np.stack(items) if space.stack and items else items
        case spaces.OneOf():
            _items([None, None], value, check=False)
            number = _discrete(spaces.Discrete(len(space.spaces)), value[0])
            return number, taken(space.spaces[number], value[1])
    if not isinstance(value, str) or not space.contains(value):
        raise ValueError(f"{value!r:.100} is not in {space!r:.100}")
    return value


def _discrete(space: spaces.Discrete, value: Any) -> np.integer[Any]:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    first, last = int(space.start), int(space.start + space.n) - 1
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not first <= value <= last:
        raise ValueError(f"{value!r:.100} is no whole number from {first} to {last}")
    return space.dtype.type(value)


def _numbers(value: Any, shape: tuple[int, ...], dtype: Any, low: Any, high: Any) -> np.ndarray:
    """Return an array of the dtype, with each number within its bounds."""
    try:
        given = np.asarray(value)
    except ValueError:
        raise ValueError(f"{value!r:.100} is no array, since its rows differ in length") from None
    if given.shape != shape:
        raise ValueError(f"An array of shape {list(shape)} is asked for, not {list(given.shape)}")
    whole = np.issubdtype(dtype, np.integer)
    if given.dtype.kind not in ("iu" if whole else "iuf"):
        raise ValueError(f"{value!r:.100} is no array of {'whole numbers' if whole else 'numbers'}")
    with np.errstate(over="ignore"):  # a number too large for the dtype becomes infinite
        made = given if whole else given.astype(dtype)
    if not np.isfinite(made).all() or not ((made >= low) & (made <= high)).all():
        raise ValueError(f"{value!r:.100} is not within its bounds")
    return made.astype(dtype)


def _length(value: Any) -> int:
    if not isinstance(value, list | tuple | np.ndarray) or (isinstance(value, np.ndarray) and not value.ndim):
        raise ValueError(f"{value!r:.100} is no list")
    return len(value)


def _items(item_spaces: Any, value: Any, *, check: bool = True) -> list[Any]:
    if _length(value) != len(item_spaces):
        raise ValueError(f"A list of {len(item_spaces)} is asked for, not {len(value)}")
    return [taken(*pair) for pair in zip(item_spaces, value, strict=True)] if check else []


def _mapping(space: spaces.Dict, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or value.keys() != space.spaces.keys():
        raise ValueError(f"An object with the keys {', '.join(space.spaces)} is asked for, not {value!r:.100}")
    return {key: taken(each, value[key]) for key, each in space.spaces.items()}
