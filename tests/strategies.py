"""Hypothesis strategies for what travels: plain values, arrays, and models of any class."""

from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from openenv.values import ARRAY, BYTES, PLAIN

DTYPES = "?bBhHiIlLqQefdFD"
"""NumPy's one-letter names of the plain dtypes."""

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
"""Text without lone surrogates, which UTF-8 has no form for."""

keys = texts | st.sampled_from((ARRAY, BYTES, PLAIN, "type", "NaN", "Infinity"))
"""Keys of dictionaries, among them those that look like the tags of the wire."""

finite = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-(2**64), 2**64)
rewards = st.none() | st.booleans() | integers | finite


def arrays() -> st.SearchStrategy[Any]:
    """Arrays of every plain dtype, in either byte order, of 0 to 3 dimensions, empty ones too."""
    scalars = st.sampled_from([np.dtype(order + char) for char in DTYPES for order in "<>"])
    others = st.sampled_from([np.dtype("<M8[s]"), np.dtype("<m8[ns]"), np.dtype("<U3"), np.dtype("S4")])
    return hnp.arrays(scalars | others, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))


plain_values = st.none() | st.booleans() | integers | finite | texts
values = st.recursive(
    plain_values | st.binary(max_size=12) | arrays(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
"""Whatever can stand where a field is typed `Any`."""

metadata = st.dictionaries(keys, values, max_size=3)

json_values = st.recursive(
    plain_values | st.sampled_from((float("nan"), float("inf"))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
"""Whatever `json.loads` can give, NaN included."""

_ATOMS: dict[Any, st.SearchStrategy[Any]] = {
    Any: values,
    str: texts,
    bytes: st.binary(max_size=12),
    bool: st.booleans(),
    type(None): st.none(),
    np.ndarray: arrays(),
}


def models(cls: type[BaseModel], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Instances of a model class: each field drawn by its annotation, or left to its default."""
    drawn = {name: fields.get(name) or _field(field) for name, field in cls.model_fields.items()}
    required = {name: drawn.pop(name) for name, field in cls.model_fields.items() if field.is_required()}
    return st.fixed_dictionaries(required, optional=drawn).map(lambda given: cls(**given))


def _field(field: FieldInfo) -> st.SearchStrategy[Any]:
    limits = {
        name: getattr(limit, name)
        for limit in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if hasattr(limit, name)
    }
    return _of(field.annotation, **limits)


def _of(annotation: Any, ge: Any = None, gt: Any = None, le: Any = None, lt: Any = None) -> st.SearchStrategy[Any]:
    if annotation in _ATOMS:
        return _ATOMS[annotation]
    if annotation is int:
        return st.integers(ge if ge is not None else -(2**64), le if le is not None else 2**64)
    if annotation is float:
        low, high = (ge if ge is not None else gt), (le if le is not None else lt)
        return st.floats(
            low,
            high,
            exclude_min=gt is not None,
            exclude_max=lt is not None,
            allow_nan=False,
            allow_infinity=False,
        )
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is Annotated:
        return _of(arguments[0])
    if origin in (Union, UnionType):
        return st.one_of(*map(_of, arguments))
    if origin is list:
        return st.lists(_of(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(keys, _of(arguments[1]), max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return st.sampled_from(list(annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return models(annotation)
    raise TypeError(f"there is no strategy for {annotation}")
