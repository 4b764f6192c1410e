"""What the page has to know before anybody plays: names, README, schemas, and what a reset takes."""

from __future__ import annotations

import inspect
import typing
from functools import cache
from typing import Any

from markdown_it import MarkdownIt

from openenv.environment.adapter import Shape
from openenv.errors import ConfigurationError
from openenv.mcp.signatures import Signature
from openenv.server.config import ServerContext

_BY_NAME = {
    "type": "object",
    "properties": {
        "seed": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}], "default": None},
        "episode_id": {"anyOf": [{"type": "string", "maxLength": 255}, {"type": "null"}], "default": None},
    },
}
"""What every reset may be given, where nothing is known of this one's."""


async def about(context: ServerContext, title: str | None = None) -> dict[str, Any]:
    """Return it.

    Args:
        context: The server.
        title: The page's title; by default the environment's name.
    """
    metadata = await context.manager.describe()
    return {
        "title": title or metadata.name,
        "name": metadata.name,
        "description": metadata.description,
        "version": metadata.version,
        "readme": rendered(metadata.readme_content or ""),
        "schemas": context.schema.model_dump(mode="json", exclude_none=True),
        "reset": reset_schema(context.manager.factory),
    }


def rendered(markdown: str) -> str:
    """Return Markdown as HTML; HTML in it is shown as text, for it is the environment's."""
    return str(_markdown().render(markdown))


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def reset_schema(factory: Any) -> dict[str, Any]:
    """Return the JSON Schema of what a reset takes, as far as the environment's class says it.

    Args:
        factory: The class, or a function whose return annotation tells it.
    """
    cls = _class_of(factory)
    if cls is None:
        return {**_BY_NAME, "additionalProperties": True}
    try:
        schema = Signature(getattr(cls, Shape.of(cls).reset_name), skip=1).input_schema
    except (
        ConfigurationError,
        TypeError,
        ValueError,
        NameError,
    ):  # an annotation that only a type checker can read
        return {**_BY_NAME, "additionalProperties": True}
    is_open = schema.get("additionalProperties", True)
    known: Any = _BY_NAME["properties"]
    own = {name: each for name, each in schema["properties"].items() if name not in known}
    always = {name: schema["properties"].get(name, each) for name, each in known.items()}
    if is_open is False:
        always = {name: each for name, each in always.items() if name in schema["properties"]}
    return {
        **schema,
        "properties": {**own, **always},
        "additionalProperties": is_open,
    }  # what is its own comes first


def _class_of(factory: Any) -> type | None:
    if inspect.isclass(factory):
        return factory
    try:
        returned = typing.get_type_hints(factory).get("return")
    except Exception:  # likewise
        return None
    return returned if inspect.isclass(returned) and hasattr(returned, "reset") else None
