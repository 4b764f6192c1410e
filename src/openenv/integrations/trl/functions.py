"""Tools as Python functions, for libraries that read a function's signature and docstring to tell a model of it.

transformers wants type hints, and a docstring in Google's style with a line for each argument. What a hint cannot
say, such as bounds, and the fields of an object, is said in that line.
"""

from __future__ import annotations

import inspect
import keyword
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from types import FrameType
from typing import Any, Literal

from pydantic_core import to_json

from openenv.mcp.types import Tool

__all__ = ["ToolFunction"]

_PLAIN: dict[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool, "null": None}
_SAID_BY_HINTS = {"type", "title", "description", "default", "enum", "const", "items", "anyOf", "oneOf", "$ref"}
_TAKEN = frozenset({"reset", "get_reward"})
_HEADINGS = re.compile(r"\b(Args|Returns|Raises):")
_CHOICES = re.compile(r"\(choices:", re.IGNORECASE)


@dataclass(frozen=True)
class ToolFunction:
    """A tool as a Python function.

    Attributes:
        tool: The tool.
        name: Of the function: that of the tool, unless it is `reset`, say, which is then `tool_reset`.
        fields: Names of the tool's arguments by those of the function's; they differ where the former are none that
            a parameter can have, such as `from`, which is `from_`.
    """

    tool: Tool
    name: str
    fields: Mapping[str, str]

    @classmethod
    def of(cls, tool: Tool) -> ToolFunction:
        """Return the function of a tool."""
        hidden = tool.name in _TAKEN or tool.name.startswith("_")
        return cls(tool, f"tool_{tool.name}" if hidden else tool.name, _identifiers(_properties(tool)))

    def own(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments by the names that the tool has for them; those it does not know are left as they are."""
        return {self.fields.get(name, name): value for name, value in arguments.items()}

    def method(self, call: Callable[[Any, str, dict[str, Any], FrameType], Any]) -> Callable[..., Any]:
        """Return a method with the signature and docstring that say what the tool's schema says.

        Args:
            call: Does it, given the object, this function's name, arguments by its names, and the calling frame.
        """
        name = self.name

        def method(self: Any, /, **arguments: Any) -> Any:
            return call(self, name, arguments, sys._getframe(1))

        schemas, definitions = _properties(self.tool), self.tool.input_schema.get("$defs") or {}
        required = self.tool.input_schema.get("required") or ()
        parameters = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=_hint(schemas[own], definitions),
                default=inspect.Parameter.empty if own in required else _resolved(schemas[own], {}).get("default"),
            )
            for name, own in self.fields.items()
        ]
        this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        method.__signature__ = inspect.Signature([this, *parameters])  # type: ignore[attr-defined]
        method.__annotations__ = {one.name: one.annotation for one in parameters}
        method.__name__ = method.__qualname__ = name
        lines = {name: _line(schemas[own], definitions, own) for name, own in self.fields.items()}
        method.__doc__ = _docstring(self.tool, lines)
        return method


def _properties(tool: Tool) -> Mapping[str, Any]:
    found = tool.input_schema.get("properties")
    return found if isinstance(found, Mapping) else {}


def _identifiers(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of the fields by names that a parameter can have."""
    found: dict[str, str] = {}
    for own in fields:
        name = re.sub(r"\W", "_", own) or "_"
        if name[0].isdigit():
            name = f"_{name}"
        while keyword.iskeyword(name) or name in found or name == "self":
            name += "_"
        found[name] = own
    return found


def _docstring(tool: Tool, lines: Mapping[str, str]) -> str:
    said = _harmless(tool.description.strip()) or f"{tool.title or tool.name}."
    if not lines:
        return said
    return "\n".join([said, "", "Args:", *(f"    {name}: {line}" for name, line in lines.items())])


def _line(schema: Mapping[str, Any], definitions: Mapping[str, Any], name: str) -> str:
    """Return what is said of an argument beside its hint."""
    schema = _resolved(schema, definitions)
    said = " ".join(str(schema.get("description") or schema.get("title") or name).split())
    rest = {key: value for key, value in schema.items() if key not in _SAID_BY_HINTS}
    if rest:
        said += f" ({to_json(rest).decode()})"
    return _harmless(said)


def _harmless(text: str) -> str:
    """Return a text without what would be read as a part of a docstring."""
    return _CHOICES.sub("(one of:", _HEADINGS.sub(r"\1 -", text))


def _resolved(schema: Any, definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(schema, Mapping):
        return {}
    target = str(schema.get("$ref", "")).rpartition("/")[2]
    return {**definitions.get(target, {}), **schema} if target else schema


def _hint(schema: Any, definitions: Mapping[str, Any], depth: int = 0) -> Any:
    """Return the type hint that a JSON Schema comes nearest to."""
    schema = _resolved(schema, definitions)
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else None)
    if choices and all(one is None or isinstance(one, str | int | float) for one in choices):
        return Literal[tuple(choices)]
    if depth > 8:  # a model that holds itself
        return Any
    either = schema.get("anyOf") or schema.get("oneOf")
    kind = schema.get("type")
    if isinstance(kind, list):
        either = [{**schema, "type": one} for one in kind]
    if either:
        hints = [_hint(one, definitions, depth + 1) for one in either]
        return Any if Any in hints else reduce(or_, (one or type(None) for one in hints))
    if kind == "array":
        return list[_hint(schema.get("items"), definitions, depth + 1)]  # type: ignore[misc]
    if kind == "object":
        return dict
    return _PLAIN.get(str(kind), Any)
