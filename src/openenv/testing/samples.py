"""Actions made up from their classes, for environments whose actions need no thought.

Only what the JSON Schema says is known, so this stops where a legal value would have to be guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from openenv.errors import ConfigurationError
from openenv.protocol.codec import json_schema
from openenv.protocol.unions import members

__all__ = ["sample_actions"]

Schema = Mapping[str, Any]


def sample_actions(action: Any) -> list[BaseModel]:
    """Return one legal action of each class, with the fields that have no default filled in.

    Args:
        action: An action class, or a union of several.

    Raises:
        ConfigurationError: A field's values are not simple enough to make one up.
    """
    return [_sample_of(cls) for cls in members(action)]


def _sample_of(cls: type[BaseModel]) -> BaseModel:
    schema = json_schema(cls)
    try:
        return cls.model_validate(_value(schema, schema.get("$defs", {})))
    except (_NotSimpleError, ValidationError) as error:
        raise ConfigurationError(
            f"No legal {cls.__name__} could be made up ({error}); set `actions` to some"
        ) from error


class _NotSimpleError(Exception):
    """A schema that does not tell a legal value."""


def _value(schema: Schema, definitions: Mapping[str, Schema]) -> Any:
    if "$ref" in schema:
        return _value(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    for given in ("const", "default"):
        if given in schema:
            return schema[given]
    if "enum" in schema:
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return _value(schema[choice][0], definitions)
    match schema.get("type"):
        case "string" if not {"pattern", "format", "contentEncoding"} & schema.keys():
            return "a" * max(1, schema.get("minLength", 0))
        case "integer" | "number" if "multipleOf" not in schema:
            return _number(schema)
        case "boolean":
            return False
        case "null":
            return None
        case "array":
            items = list(schema.get("prefixItems", ()))
            items += [schema.get("items", {})] * (schema.get("minItems", 0) - len(items))
            return [_value(item, definitions) for item in items]
        case "object":
            required = schema.get("required", ())
            return {name: _value(schema["properties"][name], definitions) for name in required}
    raise _NotSimpleError(f"there is nothing simple in {dict(schema)!r:.100}")


def _number(schema: Schema) -> float:
    if "minimum" in schema:
        return float(schema["minimum"])
    if "exclusiveMinimum" in schema:
        return float(schema["exclusiveMinimum"]) + 1
    if "maximum" in schema:
        return float(min(0, schema["maximum"]))
    return min(0.0, float(schema.get("exclusiveMaximum", 1)) - 1)
