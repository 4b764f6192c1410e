"""Values made up from their JSON Schema, for what needs no thought.

Only what the schema says is known, so this stops where a legal value would have to be guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["NotSimpleError", "forbids_unknown_fields", "sample_value"]

Schema = Mapping[str, Any]


class NotSimpleError(Exception):
    """A schema that does not tell a legal value."""


def sample_value(schema: Schema) -> Any:
    """Return one value that a schema allows, of an object the fields that are required.

    Raises:
        NotSimpleError: It does not tell one.
    """
    return _value(schema, schema.get("$defs", {}))


def forbids_unknown_fields(schema: Schema) -> bool:
    """Return whether an object with a field that the schema does not name is not what it describes."""
    return _forbids(schema, schema.get("$defs", {}))


def _forbids(schema: Schema, definitions: Mapping[str, Schema]) -> bool:
    if "$ref" in schema:
        return _forbids(_referred(schema, definitions), definitions)
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return all(_forbids(one, definitions) for one in schema[choice])
    return schema.get("additionalProperties") is False


def _referred(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    name = str(schema["$ref"]).rpartition("/")[2]
    if name not in definitions:
        raise NotSimpleError(f"nothing is at {schema['$ref']!r}")
    return definitions[name]


def _value(schema: Schema, definitions: Mapping[str, Schema]) -> Any:
    if "$ref" in schema:
        return _value(_referred(schema, definitions), definitions)
    for given in ("const", "default"):
        if given in schema:
            return schema[given]
    for several in ("examples", "enum"):
        if schema.get(several):
            return schema[several][0]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return _value(schema[choice][0], definitions)
    match schema.get("type"):
        case "string" if not {"pattern", "format", "contentEncoding"} & schema.keys():
            return "a" * max(1, schema.get("minLength", 0))
        case "integer" if "multipleOf" not in schema:
            return int(_number(schema))
        case "number" if "multipleOf" not in schema:
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
            properties = schema.get("properties", {})
            return {name: _value(properties.get(name, {}), definitions) for name in schema.get("required", ())}
    raise NotSimpleError(f"there is nothing simple in {dict(schema)!r:.100}")


def _number(schema: Schema) -> float:
    if "minimum" in schema:
        return float(schema["minimum"])
    if "exclusiveMinimum" in schema:
        return float(schema["exclusiveMinimum"]) + 1
    if "maximum" in schema:
        return float(min(0, schema["maximum"]))
    return min(0.0, float(schema.get("exclusiveMaximum", 1)) - 1)
