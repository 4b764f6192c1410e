"""The codec of bytes and arrays in the core schemas of models.

It is put into a model's schema when its class is made, so models without such fields pay nothing and the others
need no second pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import core_schema

from openenv.values.tagged import ARRAY, decode, encode, encode_array, encode_other, to_array

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
        to_array,
        serialization=core_schema.plain_serializer_function_ser_schema(encode_array, when_used="json-unless-none"),
        metadata={"pydantic_js_functions": [lambda _schema, _handler: dict(_ARRAY_JSON_SCHEMA)]},
    )


def is_array_schema(schema: Mapping[str, Any]) -> bool:
    """Return whether a core schema is that of an array."""
    function = schema.get("function")
    return isinstance(function, dict) and function.get("function") is to_array


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
    """Return a core schema in which every `Any` and every array position carries the codec.

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
            encode_other,
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
        """Adapt the dataclass or dictionary that is referred to, or give another's model the codec as a whole.

        Those have no schema but the one that is being made here. A model has its own, which pydantic uses
        whatever another schema says of it.
        """
        target = self._target(reference)
        if target is None or reference["schema_ref"] in self._seen:
            return reference
        cls = target.get("cls")
        plain = target["type"] == "dataclass" and "__pydantic_complete__" not in vars(cls)
        if plain or target["type"] == "typed-dict":
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
        serialization=core_schema.plain_serializer_function_ser_schema(encode_other, when_used="json"),
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
