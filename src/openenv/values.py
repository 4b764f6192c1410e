"""Values that JSON lacks: how bytes and NumPy arrays travel inside a message.

A field typed `bytes` travels as base64 text, as its schema says. An array, and bytes in a place typed
`Any` (metadata, free-form dictionaries), travel as a tagged object, because the receiver could not tell
otherwise:

    {"__bytes__": "<base64>"}
    {"__ndarray__": "<base64 of the C-order buffer>", "dtype": "|u1", "shape": [84, 84, 4]}

A dictionary that happens to look like a tag is wrapped in `{"__plain__": {...}}`, so what is decoded
equals what was encoded. The codec is put into a model's schema when its class is made, so models without
such fields pay nothing and the others need no second pass. NumPy is imported only when an array is met.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from pydantic_core import core_schema, from_json, to_json

from openenv.errors import ConfigurationError, SerializationError

if TYPE_CHECKING:
    import numpy as np

ARRAY, BYTES, PLAIN = "__ndarray__", "__bytes__", "__plain__"
_TAGS = frozenset({ARRAY, BYTES, PLAIN})
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
        return {PLAIN: tagged} if not _TAGS.isdisjoint(tagged) else tagged
    if cls in (list, tuple):
        return [encode(item) for item in value]
    if cls in (bytes, bytearray, memoryview):
        return {BYTES: base64.b64encode(value).decode("ascii")}
    if cls.__module__ == "numpy":
        return encode_array(value) if is_array(value) else encode(_python_scalar(value))
    return _encode_other(value)


def _encode_other(value: Any) -> Any:
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


def _python_scalar(value: Any) -> Any:
    """Return the Python number, text or time of a NumPy scalar.

    Raises:
        ValueError: It has none, as a long double.
    """
    item = value.item() if getattr(value, "shape", None) == () else value
    if type(item).__module__ == "numpy":
        raise ValueError(_no_form(value))
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


def _to_array(value: Any) -> Any:
    if is_array(value):
        return value
    if isinstance(value, dict):
        return decode_array(value)
    if isinstance(value, list):
        return _numpy().asarray(value)
    raise ValueError(f"expected an array, got {type(value).__name__}")


_ARRAY_JSON_SCHEMA = {
    "type": "object",
    "title": "NumPy array",
    "description": "base64 of the C-order buffer, with NumPy's dtype string and the shape",
    "properties": {
        ARRAY: {"type": "string", "contentEncoding": "base64"},
        "dtype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
    },
    "required": [ARRAY, "dtype", "shape"],
}


def array_schema() -> core_schema.CoreSchema:
    """Return the schema of a field typed `numpy.ndarray`."""
    return core_schema.no_info_plain_validator_function(
        _to_array,
        serialization=core_schema.plain_serializer_function_ser_schema(encode_array, when_used="json-unless-none"),
        metadata={"pydantic_js_functions": [lambda _schema, _handler: dict(_ARRAY_JSON_SCHEMA)]},
    )


def is_array_schema(schema: Mapping[str, Any]) -> bool:
    """Return whether a core schema is that of an array."""
    function = schema.get("function")
    return isinstance(function, dict) and function.get("function") is _to_array


def any_schema() -> core_schema.CoreSchema:
    """Return the schema of a field typed `Any`: untouched in Python, tagged in JSON."""
    return core_schema.json_or_python_schema(
        json_schema=core_schema.no_info_after_validator_function(decode, core_schema.any_schema()),
        python_schema=core_schema.any_schema(),
        serialization=core_schema.plain_serializer_function_ser_schema(encode, when_used="json"),
        metadata={"pydantic_js_functions": [lambda _schema, _handler: {}]},
    )


_NESTED = frozenset(
    (
        "schema",
        "fields",
        "items_schema",
        "keys_schema",
        "values_schema",
        "choices",
        "python_schema",
        "json_schema",
        "steps",
        "definitions",
        "extras_schema",
        "serialization",
    )
)


Resolve = Callable[[Any], Any]
"""Returns what a reference in a core schema stands for; pydantic's `handler.resolve_ref_schema`."""


def adapt(schema: Any, resolve: Resolve | None = None) -> Any:
    """Return a core schema in which every `Any` and every array position carries the codec above.

    Args:
        schema: The schema of a model of ours, or of a type that holds some.
        resolve: Finds the schemas of what it refers to: dataclasses and models that are not ours.
    """
    return _Adaptation(resolve)(schema)


class _Adaptation:
    """One walk through a core schema."""

    def __init__(self, resolve: Resolve | None) -> None:
        self._resolve = resolve
        self._seen: set[str] = set()

    def __call__(self, schema: Any) -> Any:
        if isinstance(schema, list):
            return [self(item) for item in schema]
        if not isinstance(schema, dict):
            return schema
        kind, serialization = schema.get("type"), schema.get("serialization")
        if kind == "any" and serialization is None:
            return any_schema()
        if kind == "is-instance" and _is_array_class(schema["cls"]):
            return array_schema()
        if kind == "definition-ref" and serialization is None:
            return self._reference(schema)
        if serialization is not None and serialization.get("function") in (
            encode,
            _encode_other,
        ):  # adapted already
            return schema
        adapted = {
            key: self._members(value) if key in ("fields", "choices") else self(value) if key in _NESTED else value
            for key, value in schema.items()
        }
        if kind == "model" and schema.get("config", {}).get("extra_fields_behavior") == "allow":
            _adapt_extras(adapted["schema"])
        return adapted

    def _members(self, members: Any) -> Any:
        if isinstance(members, dict):
            return {name: self(member) for name, member in members.items()}
        return [(self(m[0]), m[1]) if isinstance(m, tuple) else self(m) for m in members]

    def _reference(self, reference: dict[str, Any]) -> Any:
        """Adapt the plain dataclass that is referred to, or give another's model the codec as a whole.

        A dataclass has no schema but the one that is being made here. A model has its own, which pydantic uses
        whatever another schema says of it.
        """
        target = self._target(reference)
        if target is None or reference["schema_ref"] in self._seen:
            return reference
        cls = target.get("cls")
        if target["type"] == "dataclass" and "__pydantic_complete__" not in vars(cls):
            self._seen.add(reference["schema_ref"])
            target.update(self(dict(target)))
            return reference
        if target["type"] in ("model", "dataclass") and not _is_ours(target) and self._needs_codec(target, set()):
            return foreign_schema(reference)
        return reference

    def _target(self, reference: dict[str, Any]) -> Any:
        try:
            return self._resolve(reference) if self._resolve is not None else None
        except LookupError:  # it is being made at this moment: it refers to itself
            return None

    def _needs_codec(self, schema: Any, seen: set[str]) -> bool:
        """Return whether a schema has a place for bytes, arrays or anything at all."""
        if isinstance(schema, list | tuple):
            return any(self._needs_codec(item, seen) for item in schema)
        if not isinstance(schema, dict):
            return False
        kind = schema.get("type")
        if kind in ("any", "bytes") or (kind == "is-instance" and _is_array_class(schema["cls"])):
            return True
        if kind == "definition-ref":
            if schema["schema_ref"] in seen:
                return False
            seen.add(schema["schema_ref"])
            return self._needs_codec(self._target(schema), seen)
        if kind == "model" and schema.get("config", {}).get("extra_fields_behavior") == "allow":
            return True
        parts = [value for key, value in schema.items() if key in _NESTED and key != "serialization"]
        members = (part.values() if isinstance(part, dict) and "type" not in part else part for part in parts)
        return any(self._needs_codec(list(m) if not isinstance(m, dict) else m, seen) for m in members)


def _is_ours(schema: Mapping[str, Any]) -> bool:
    return bool(schema.get("config", {}).get("ser_json_inf_nan") == "constants")


def foreign_schema(schema: Any) -> core_schema.CoreSchema:
    """Return the schema of a model of another library: its own, with tagged bytes and arrays in JSON."""
    return core_schema.json_or_python_schema(
        json_schema=core_schema.no_info_before_validator_function(decode, schema),
        python_schema=schema,
        serialization=core_schema.plain_serializer_function_ser_schema(_encode_other, when_used="json"),
    )


def _adapt_extras(schema: dict[str, Any]) -> None:
    """Give the fields that a model accepts without having declared them the codec of `Any`."""
    while schema.get("type") != "model-fields":
        if not isinstance(schema.get("schema"), dict):
            return
        schema = schema["schema"]
    schema.setdefault("extras_schema", any_schema())


def _is_array_class(cls: Any) -> bool:
    return getattr(cls, "__name__", "") == "ndarray" and getattr(cls, "__module__", "") == "numpy"


# --- the text itself ----------------------------------------------------------------------------


def dumps(value: Any, *, what: str = "value") -> bytes:
    """Return JSON text for a tree of plain values, bytes, arrays and models.

    Raises:
        SerializationError: A value has no JSON form; the message names `what` and the reason.
    """
    try:
        # At the top a dictionary is an object whose members the reader knows by name, so it is never wrapped.
        top = {key: encode(item) for key, item in value.items()} if type(value) is dict else encode(value)
        raw = to_json(top, fallback=_refuse)
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
    return decode(value) if _contains(raw, *_TAGS) else value


def _contains(raw: bytes | str, *words: str) -> bool:
    if isinstance(raw, str):
        return any(word in raw for word in words)
    return any(word.encode() in raw for word in words)


def refuse_non_finite(raw: bytes | str, *, what: str = "value") -> None:
    """Raise SerializationError if the JSON text holds NaN or infinity as a number.

    The common case costs two substring searches; the text is parsed only if a word is found.
    """
    if ("NaN" in raw or "Infinity" in raw) if isinstance(raw, str) else (b"NaN" in raw or b"Infinity" in raw):
        refuse_non_finite_tree(from_json(raw, allow_inf_nan=True), what=what)


def refuse_non_finite_tree(value: Any, *, what: str = "value") -> None:
    """Raise SerializationError if a tree of plain values holds NaN or infinity outside its arrays."""
    path = _non_finite_path(value)
    if path is not None:
        raise SerializationError(
            f"The {what} holds NaN or infinity at {path or 'its top'}; send a finite number or null"
        )


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


def _refuse(value: Any) -> Any:
    if is_array(value):
        return encode_array(value)
    if type(value).__module__ == "numpy":
        return _python_scalar(value)
    raise ValueError(_no_form(value))


def _no_form(value: Any) -> str:
    cls = type(value)
    return (
        f"a value of class {cls.__module__}.{cls.__qualname__} has no JSON form; "
        "make it numbers, text, bytes, a NumPy array or a pydantic model"
    )


fallback = _refuse
"""For pydantic's `to_json(fallback=)`: encodes arrays and NumPy scalars met outside a typed field."""


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
