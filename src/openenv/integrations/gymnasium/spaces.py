"""Spaces of Gymnasium as JSON Schemas, and JSON Schemas as spaces.

A schema says what any reader of JSON Schema understands; what it has no words for, such as a dtype, is beside it
under `x-space`, which others ignore. A schema without it becomes the simplest space that has the same elements.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import Space, spaces

from openenv.errors import ConfigurationError

__all__ = ["KEY", "schema_of", "space_of"]

KEY = "x-space"
Schema = dict[str, Any]

_UNSAID = (
    *("$ref", "allOf", "anyOf", "oneOf", "not", "if", "enum", "const"),
    *("multipleOf", "pattern", "uniqueItems", "contains"),
)
"""What no space is made of here. Left out of account, it would make the space larger than the schema."""


def schema_of(space: Space[Any]) -> Schema:
    """Return the JSON Schema of a space's elements.

    Raises:
        ConfigurationError: They have none, such as those of `Graph`.
    """
    match space:
        case spaces.Discrete():
            return _discrete(space)
        case spaces.Box():
            return _box(space)
        case spaces.MultiDiscrete():
            return _multi_discrete(space)
        case spaces.MultiBinary():
            item, number = {"type": "integer", "minimum": 0, "maximum": 1}, isinstance(space.n, int)
            kept = {"type": "MultiBinary", "n": space.n if number else list(space.shape)}
            return _nested(item, space.shape) | {KEY: kept}
        case spaces.Text():
            return _text(space)
        case spaces.Tuple():
            return _fixed([schema_of(each) for each in space.spaces])
        case spaces.Dict():
            return _object(space)
        case spaces.Sequence():
            kept = {"type": "Sequence", "stack": space.stack}
            return {"type": "array", "items": schema_of(space.feature_space), KEY: kept}
        case spaces.OneOf():
            return {"oneOf": [_fixed([{"const": n}, schema_of(one)]) for n, one in enumerate(space.spaces)]}
    if space.dtype is not None and space.dtype.kind == "U":  # an author's own space of texts
        return {"type": "string"}
    raise ConfigurationError(
        f"{type(space).__name__} has no JSON Schema here; wrap the environment so that it has another space"
    )


def _discrete(space: spaces.Discrete) -> Schema:
    start = int(space.start)
    schema = {"type": "integer", "minimum": start, "maximum": start + int(space.n) - 1}
    usual = space.dtype == np.int64
    return schema if usual else schema | {KEY: {"type": "Discrete", "dtype": str(space.dtype)}}


def _box(space: spaces.Box) -> Schema:
    whole = not np.issubdtype(space.dtype, np.floating)
    low, high = _bound(space.low, whole), _bound(space.high, whole)
    kind = "integer" if whole else "number"
    if space.low.ndim == 1 and (isinstance(low, list) or isinstance(high, list)):
        lows, highs = _flat(low, space.shape[0]), _flat(high, space.shape[0])
        schema = _fixed([_number(kind, *bounds) for bounds in zip(lows, highs, strict=True)])
    else:
        bounds = (None if isinstance(bound, list) else bound for bound in (low, high))
        schema = _nested(_number(kind, *bounds), space.shape)
    kept = {"type": "Box", "dtype": str(space.dtype), "shape": list(space.shape), "low": low, "high": high}
    return schema | {KEY: kept}


def _bound(values: np.ndarray, whole: bool) -> Any:
    """Return bounds as one number if they are all the same, else as lists; None stands for infinity."""
    if not values.size or (values == values.flat[0]).all():
        return _finite(values.flat[0], whole) if values.size else None
    return _listed(values, whole)


def _listed(values: np.ndarray, whole: bool) -> Any:
    return [_listed(each, whole) for each in values] if values.ndim else _finite(values, whole)


def _finite(value: Any, whole: bool) -> int | float | None:
    return int(value) if whole else float(value) if np.isfinite(value) else None


def _flat(bound: Any, size: int) -> list[Any]:
    return bound if isinstance(bound, list) else [bound] * size


def _number(kind: str, low: Any, high: Any) -> Schema:
    bounds = {"minimum": low, "maximum": high}
    return {"type": kind, **{name: bound for name, bound in bounds.items() if bound is not None}}


def _nested(item: Schema, shape: tuple[int, ...]) -> Schema:
    for size in reversed(shape):
        item = {"type": "array", "items": item, "minItems": size, "maxItems": size}
    return dict(item)


def _fixed(items: list[Schema]) -> Schema:
    size = len(items)
    return {"type": "array", "prefixItems": items, "items": False, "minItems": size, "maxItems": size}


def _multi_discrete(space: spaces.MultiDiscrete) -> Schema:
    first, last = space.start, space.start + space.nvec - 1
    kept = {"type": "MultiDiscrete", "dtype": str(space.dtype)}
    kept |= {"nvec": space.nvec.tolist(), "start": space.start.tolist()}
    if first.ndim == 1:
        bounds = zip(first.tolist(), last.tolist(), strict=True)
        return _fixed([_number("integer", *each) for each in bounds]) | {KEY: kept}
    widest = _number("integer", int(first.min()), int(last.max()))
    return _nested(widest, first.shape) | {KEY: kept}


def _text(space: spaces.Text) -> Schema:
    return {
        "type": "string",
        "minLength": space.min_length,
        "maxLength": space.max_length,
        "pattern": f"^[{''.join(map(re.escape, space.characters))}]*$",
        KEY: {"type": "Text", "characters": space.characters},
    }


def _object(space: spaces.Dict) -> Schema:
    if strange := [key for key in space.spaces if not isinstance(key, str)]:
        raise ConfigurationError(f"The keys of a Dict space have to be texts, and {strange[0]!r} is none")
    properties = {key: schema_of(each) for key, each in space.spaces.items()}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


# --- the other way ---------------------------------------------------------------------------------------


def space_of(schema: Mapping[str, Any]) -> Space[Any]:
    """Return the space whose elements a JSON Schema describes.

    Raises:
        ConfigurationError: No space has such elements, or there is no end to them: a whole number or a text
            without bounds.
    """
    try:
        found = _kept(schema)
        found = _simplest(schema) if found is None else found
    except ConfigurationError:
        raise
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ConfigurationError(f"The schema {dict(schema)!r:.200} makes no sense: {error}") from error
    if found is None:
        raise ConfigurationError(f"No space has the elements of the schema {dict(schema)!r:.200}")
    return found


def _kept(schema: Mapping[str, Any]) -> Space[Any] | None:
    """Return the space whose schema was made here, if no other schema looks like that."""
    if "oneOf" in schema:
        choices = [one.get("prefixItems", ()) for one in schema["oneOf"]]
        ours = all(len(items) == 2 and items[0] == {"const": n} for n, items in enumerate(choices))
        return spaces.OneOf([space_of(chosen) for _, chosen in choices]) if ours else None
    kept = schema.get(KEY, {})
    match kept.get("type"):
        case "Box":
            return _box_of(kept)
        case "Discrete":
            return _whole_of(schema, np.dtype(kept["dtype"]))
        case "MultiDiscrete":
            dtype = np.dtype(kept.get("dtype", "int64"))
            return spaces.MultiDiscrete(kept["nvec"], dtype=dtype.type, start=kept["start"])
        case "MultiBinary":
            return spaces.MultiBinary(kept["n"])
        case "Text":
            return _text_of(schema, kept["characters"])
    return None


def _simplest(schema: Mapping[str, Any]) -> Space[Any] | None:
    """Return the simplest space of a schema, whoever made it, if there is one."""
    _refuse(schema, *_UNSAID)
    match schema.get("type"):
        case "integer":
            return _whole_of(schema, np.dtype(np.int64))
        case "number":
            _refuse(schema, "exclusiveMinimum", "exclusiveMaximum")
            return _box_of({"shape": [], "low": schema.get("minimum"), "high": schema.get("maximum")})
        case "string" if "maxLength" in schema:
            return _text_of(schema, string.printable)
        case "object":
            return spaces.Dict({key: space_of(each) for key, each in schema.get("properties", {}).items()})
        case "array":
            return _array_of(schema)
    return None


def _refuse(schema: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if name in schema and (name, schema[name]) != ("uniqueItems", False):
            raise ConfigurationError(f"No space can say {name!r} of the schema {dict(schema)!r:.200}")


def _whole_of(schema: Mapping[str, Any], dtype: np.dtype[Any]) -> Space[Any] | None:
    lows = [math.ceil(schema["minimum"])] if "minimum" in schema else []
    lows += [math.floor(schema["exclusiveMinimum"]) + 1] if "exclusiveMinimum" in schema else []
    highs = [math.floor(schema["maximum"])] if "maximum" in schema else []
    highs += [math.ceil(schema["exclusiveMaximum"]) - 1] if "exclusiveMaximum" in schema else []
    if not lows or not highs:
        return None
    low, high = max(lows), min(highs)
    if dtype == np.int64:  # as it is usually, and always where Gymnasium is too old to take another
        return spaces.Discrete(high - low + 1, start=low)
    return spaces.Discrete(high - low + 1, start=low, dtype=dtype.type)


def _text_of(schema: Mapping[str, Any], characters: str) -> spaces.Text:
    return spaces.Text(schema["maxLength"], min_length=schema.get("minLength", 0), charset=characters)


def _box_of(kept: Mapping[str, Any]) -> spaces.Box:
    dtype: Any
    dtype, shape = np.dtype(kept.get("dtype", "float32")), tuple(kept["shape"])
    ends: list[Any] = []
    for bound, infinite in ((kept["low"], -np.inf), (kept["high"], np.inf)):
        whole = np.issubdtype(dtype, np.integer)  # whose largest bounds a float does not hold
        values = np.array(bound, dtype) if whole else _with_infinity(bound, infinite).astype(dtype)
        ends.append(np.broadcast_to(values, shape).copy())
    low, high = ends
    return spaces.Box(low, high, shape=shape, dtype=dtype.type)


def _with_infinity(bound: Any, infinite: float) -> np.ndarray:
    values = np.array(bound, dtype=object)
    return np.where(values == None, infinite, values).astype(np.float64)  # noqa: E711 - element by element


def _array_of(schema: Mapping[str, Any]) -> Space[Any]:
    if "prefixItems" in schema:
        return spaces.Tuple([space_of(each) for each in schema["prefixItems"]])
    items = schema.get("items")
    if not isinstance(items, Mapping):
        raise ConfigurationError("A schema of an array has to say what its items are")
    size = schema.get("minItems", 0)
    if size != schema.get("maxItems"):  # how long it may be, a Sequence does not know; the environment does
        return spaces.Sequence(space_of(items), stack=schema.get(KEY, {}).get("stack", False))
    item = space_of(items)
    if isinstance(item, spaces.Box):
        low, high = (np.stack([bound] * size) for bound in (item.low, item.high))
        return spaces.Box(low, high, dtype=item.dtype.type)
    if isinstance(item, spaces.Discrete):
        return spaces.MultiDiscrete([item.n] * size, dtype=item.dtype.type, start=[item.start] * size)
    return spaces.Tuple([item] * size)
