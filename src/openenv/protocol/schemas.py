"""JSON Schemas of an environment's types, as `/schema` and the OpenAPI document show them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from openenv.protocol.unions import wire_type


class _LenientSchema(GenerateJsonSchema):
    """Describes a field of a foreign class as "anything" instead of failing the whole schema."""

    def handle_invalid_for_json_schema(self, schema: core_schema.CoreSchema, error_info: str) -> JsonSchemaValue:
        return {}


def json_schema(annotation: Any) -> dict[str, Any]:
    """Return the JSON Schema of a class or union, as a sender has to write it."""
    return TypeAdapter(wire_type(annotation)).json_schema(schema_generator=_LenientSchema)


def inline_schema(model: type[BaseModel], **fields: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a model with the schemas of some fields given."""
    schema = model.model_json_schema(schema_generator=_LenientSchema)
    definitions = schema.pop("$defs", {})
    for name, given in fields.items():
        given = dict(given)
        definitions |= given.pop("$defs", {})
        schema["properties"][name] = given
    # An OpenAPI document has no place for definitions inside a body's schema, so they are put in line.
    return _resolve(schema, definitions)  # type: ignore[no-any-return]


def _resolve(node: Any, definitions: dict[str, Any], within: tuple[str, ...] = ()) -> Any:
    if isinstance(node, list):
        return [_resolve(item, definitions, within) for item in node]
    if not isinstance(node, dict):
        return node
    name = str(node.get("$ref", "")).removeprefix("#/$defs/")
    if name in definitions:
        if name in within:  # a recursive model: stop at the second turn
            return {"type": "object", "title": name}
        return _resolve(definitions[name], definitions, (*within, name))
    return {
        key: _resolve(item, definitions, within)
        for key, item in node.items()
        if key not in ("$defs", "discriminator")
    }
