"""Values of messages as elements of Gymnasium's spaces, and elements as values, as a JSON Schema says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import Space, spaces
from gymnasium.vector.utils import concatenate, create_empty_array

from openenv.errors import ConfigurationError
from openenv.integrations.gymnasium.spaces import space_of
from openenv.integrations.gymnasium.wire import sent

Schema = Mapping[str, Any]

_NUMBERS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


@dataclass(frozen=True)
class Part:
    """A value of a message as an element of a space.

    Attributes:
        space: The space.
        take: Makes an element of a value.
        send: Makes a value of an element.
        plain: Whether values are numbers and lists of them in JSON, which many can be made an array of at once.
    """

    space: Space[Any]
    take: Callable[[Any], Any]
    send: Callable[[Any], Any]
    plain: bool = False


def part_of(schema: Schema, root: Schema) -> Part:
    """Return the part that a JSON Schema describes.

    Args:
        schema: Of the value.
        root: What holds the definitions it refers to.

    Raises:
        ConfigurationError: No space has such values.
    """
    if "$ref" in schema:
        return part_of(root.get("$defs", {}).get(str(schema["$ref"]).rpartition("/")[2], {}), root)
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if values is None and schema.get("type") == "boolean":
        values = [False, True]
    if values is not None:
        places = {value: np.int64(place) for place, value in enumerate(values)}
        return Part(spaces.Discrete(len(values)), lambda value: places[value], lambda e: values[int(e)])
    if schema.get("type") == "object" and "properties" in schema:
        return object_of(schema, schema["properties"], root)
    return exactly(space_of(schema), plain=is_numeric(schema))


def object_of(schema: Schema, names: Any, root: Schema) -> Part:
    """Return the part of some fields of an object; arguments and errors as those of `part_of`."""
    parts = {name: part_of(schema["properties"][name], root) for name in names}
    return Part(
        spaces.Dict({name: part.space for name, part in parts.items()}),
        lambda value: {name: part.take(read(value, name)) for name, part in parts.items()},
        lambda element: {name: part.send(element[name]) for name, part in parts.items()},
    )


def exactly(space: Space[Any], plain: bool = False) -> Part:
    """Return the part whose values are elements of a space already, but for their form on the wire."""
    numeric = isinstance(space, _NUMBERS)
    return Part(
        space, _arrays(space) if numeric else _nested(space), lambda e: _listed(sent(space, e)), plain and numeric
    )


def _arrays(space: Space[Any]) -> Callable[[Any], Any]:
    dtype, shape = space.dtype, space.shape or ()

    def take(value: Any) -> Any:
        array = np.asarray(value, dtype)
        if array.shape != shape:
            raise ValueError(f"An observation of shape {list(array.shape)} does not fit into {space}")
        return array[()] if isinstance(space, spaces.Discrete) else array

    return take


def _nested(space: Space[Any]) -> Callable[[Any], Any]:
    match space:
        case spaces.Dict():
            inner = {key: exactly(each).take for key, each in space.spaces.items()}
            return lambda value: {key: take(read(value, key)) for key, take in inner.items()}
        case spaces.Tuple():
            takes = [exactly(each).take for each in space.spaces]
            return lambda value: tuple(take(each) for take, each in zip(takes, value, strict=True))
        case spaces.Sequence():
            take = exactly(space.feature_space).take
            return lambda value: _sequence(space, [take(each) for each in value])
        case spaces.OneOf():
            choices = [exactly(each).take for each in space.spaces]
            return lambda value: (np.int64(value[0]), choices[int(value[0])](value[1]))
    return lambda value: value


def _sequence(space: spaces.Sequence, items: list[Any]) -> Any:
    return batched(space.feature_space, items) if space.stack else tuple(items)


def _listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" else value


def space_like(value: Any) -> Space[Any]:
    """Return the space that values like this one are in, whatever their numbers."""
    if isinstance(value, Mapping):
        return spaces.Dict({str(key): space_like(each) for key, each in value.items()})
    array = value if isinstance(value, np.ndarray) else _array(value)
    if array.dtype.kind == "b":
        return spaces.Box(0, 1, array.shape, np.int8)
    if array.dtype.kind in "iu":
        ends = np.iinfo(array.dtype)
        return spaces.Box(ends.min, ends.max, array.shape, array.dtype.type)
    if array.dtype.kind == "f":
        return spaces.Box(-np.inf, np.inf, array.shape, array.dtype.type)
    raise ConfigurationError(f"What is seen has no space; say observation_space= for {value!r:.100}")


def _array(value: Any) -> np.ndarray[Any, Any]:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ConfigurationError(f"What is seen is no array: {error}") from None
    return array.astype(np.float32) if array.dtype == np.float64 else array


def is_numeric(schema: Schema) -> bool:
    """Return whether values of a schema are numbers, or lists of them, in JSON."""
    while schema.get("type") == "array":
        items = schema.get("items") or {}
        schema = items if isinstance(items, Mapping) else {}
    return schema.get("type") in ("integer", "number")


def read(message: Any, name: str) -> Any:
    """Return a field of a message that is a model or a dictionary; None if it has no such field."""
    return message.get(name) if isinstance(message, dict) else getattr(message, name, None)


def batched(space: Space[Any], elements: list[Any]) -> Any:
    """Return elements of a space as a batch."""
    return concatenate(space, elements, create_empty_array(space, n=len(elements)))  # type: ignore[arg-type]
