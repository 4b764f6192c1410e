"""Values and their tagged objects: the codec itself."""

from __future__ import annotations

import base64
import binascii
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from openenv.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np

ARRAY, BYTES, PLAIN = "__ndarray__", "__bytes__", "__plain__"
TAGS = frozenset({ARRAY, BYTES, PLAIN})
_ATOMS = frozenset({str, int, float, bool, type(None)})


def is_array(value: object) -> bool:
    """Return whether the value is a NumPy array, without importing NumPy."""
    cls = type(value)
    return cls.__name__ == "ndarray" and cls.__module__ == "numpy"


def encode(value: Any) -> Any:
    """Return the value with bytes and arrays replaced by tagged objects, recursively.

    Values of other classes are returned as they are, for the serialiser to judge.
    """
    cls = type(value)
    if cls in _ATOMS:
        return value
    if cls is dict:
        tagged = {key: encode(item) for key, item in value.items()}
        return {PLAIN: tagged} if not TAGS.isdisjoint(tagged) else tagged
    if cls in (list, tuple):
        return [encode(item) for item in value]
    if cls in (bytes, bytearray, memoryview):
        return {BYTES: base64.b64encode(value).decode("ascii")}
    if cls.__module__ == "numpy":
        return encode_array(value) if is_array(value) else encode(python_scalar(value))
    return encode_other(value)


def encode_other(value: Any) -> Any:
    """Return what a container or record of another class holds, encoded; anything else as it is."""
    cls = type(value)
    if isinstance(value, dict):
        return encode(dict(value))
    if isinstance(value, list | tuple | set | frozenset | deque):
        return [encode(item) for item in value]
    if hasattr(cls, "__pydantic_serializer__"):
        if getattr(cls, "model_config", {}).get("ser_json_inf_nan") == "constants":
            return value  # one of ours: its own serialiser does all this
        return encode(cls.__pydantic_serializer__.to_python(value))
    if is_dataclass(value) and not isinstance(value, type):
        return encode({f.name: getattr(value, f.name) for f in fields(value)})
    return value


def python_scalar(value: Any) -> Any:
    """Return the Python number, text or time of a NumPy scalar.

    Raises:
        ValueError: It has none, as a long double.
    """
    item = value.item() if getattr(value, "shape", None) == () else value
    if type(item).__module__ == "numpy":
        raise ValueError(no_form(value))
    return item


def decode(value: Any) -> Any:
    """Return the value with tagged objects replaced by what they stand for; the reverse of `encode`.

    Raises:
        ValueError: A tagged object is malformed.
    """
    cls = type(value)
    if cls is list:
        return [decode(item) for item in value]
    if cls is float and not isfinite(value):  # what JSON can write as 1e999
        raise ValueError("a number is too large to be finite")
    if cls is not dict:
        return value
    if ARRAY in value:
        return decode_array(value)
    if len(value) == 1:
        if isinstance(text := value.get(BYTES), str):
            return _from_base64(text)
        if isinstance(inner := value.get(PLAIN), dict):
            return {key: decode(item) for key, item in inner.items()}
    return {key: decode(item) for key, item in value.items()}


def encode_array(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return the tagged object of an array of any shape and any plain dtype.

    Raises:
        ValueError: The array holds Python objects or has named fields.
    """
    if array.dtype.hasobject or array.dtype.names:
        raise ValueError(f"an array of dtype {array.dtype} has no wire form; use a numeric dtype")
    data = base64.b64encode(array.tobytes()).decode("ascii")
    return {ARRAY: data, "dtype": array.dtype.str, "shape": list(array.shape)}


def decode_array(tagged: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """Return a writable array from its tagged object.

    Raises:
        ValueError: A key is missing, the dtype is not plain, or shape and data do not agree.
        ConfigurationError: NumPy is not installed.
    """
    try:
        dtype, shape = tagged["dtype"], tagged["shape"]
        if not isinstance(dtype, str) or not isinstance(shape, list):
            raise TypeError("dtype is a text and shape a list")
        return array_from_buffer(bytearray(_from_base64(tagged[ARRAY])), dtype, shape)
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not a valid {ARRAY} object: {error}") from error


def array_from_buffer(buffer: bytearray, dtype: str, shape: Iterable[int]) -> np.ndarray[Any, Any]:
    """Return an array over a buffer in C order, writable and not copied.

    Raises:
        ValueError: The dtype is not plain, or shape and buffer do not agree.
        ConfigurationError: NumPy is not installed.
    """
    numpy = _numpy()
    try:
        plain = numpy.dtype(dtype)
    except Exception as error:  # TypeError mostly; SyntaxError if it looks like a list of several
        raise ValueError(f"{dtype!r} is no dtype: {error}") from error
    if plain.hasobject or plain.names or plain.subdtype:
        raise ValueError(f"dtype {plain} is not accepted")
    sizes = tuple(shape)
    if not all(type(n) is int and n >= 0 for n in sizes):
        raise ValueError(f"shape {sizes} is not a list of sizes")
    array = numpy.frombuffer(buffer, dtype=plain) if buffer else numpy.empty(0, plain)
    try:
        return array.reshape(sizes)  # type: ignore[no-any-return]
    except OverflowError as error:  # a size of more than 63 bits
        raise ValueError(f"shape {sizes} is too large: {error}") from error


def to_array(value: Any) -> Any:
    """Return the array that a field typed `numpy.ndarray` was given: as it is, as its tagged object or as a list.

    Raises:
        ValueError: It is none of them, or a malformed tagged object.
        ConfigurationError: NumPy is not installed.
    """
    if is_array(value):
        return value
    if isinstance(value, dict):
        return decode_array(value)
    if isinstance(value, list):
        return _numpy().asarray(value)
    raise ValueError(f"expected an array, got {type(value).__name__}")


def no_form(value: Any) -> str:
    """Return the text that says that a value has no JSON form."""
    cls = type(value)
    return (
        f"a value of class {cls.__module__}.{cls.__qualname__} has no JSON form; "
        "make it numbers, text, bytes, a NumPy array or a pydantic model"
    )


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise ValueError(f"not valid base64: {error}") from error


def _numpy() -> Any:
    try:
        import numpy
    except ImportError as error:
        raise ConfigurationError(
            "This message holds an array, which needs NumPy: pip install 'openenv[arrays]'"
        ) from error
    return numpy
