"""What a language model reads of an environment, and what its words mean to one.

One rule for all: an observation that says one thing in words is those words, any other is JSON; an action of one
field is that field, any other is JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from itertools import starmap
from json import JSONDecoder
from math import isfinite
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from openenv.models import Observation
from openenv.values import encode

__all__ = ["action_of", "fields_of", "only_field", "takes_tool_calls", "text_of"]

_BLOB = 512
"""Bytes and arrays of more elements than this are named, not said: a model cannot read them."""
_DEEPEST = 100
"""Levels that an action may have; a server reads some two hundred, and no environment asks for as many."""
_CALL, _LIST = "CallToolAction", "ListToolsAction"
_UNSAID = {*Observation.model_fields, "outcome", "terminated", "truncated"}


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


_DECODER = JSONDecoder(parse_constant=_no_number)
"""Of JSON as it is written in the standard: without NaN and infinity, which no action can hold."""


def text_of(value: Any) -> str:
    """Return what a model is told of an observation, or of what a tool returned.

    Args:
        value: An observation (a model or a dictionary), of which reward, `done` and metadata are not told; or any
            other value. None is the empty text.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, BaseModel):
        value = dict(value)
    if isinstance(value, Mapping):
        whole, value = value, {name: said for name, said in value.items() if name not in _UNSAID}
        if whole and not value:  # an observation that says nothing
            return ""
        said = [one for one in value.values() if one is not None and one != ""] if _simple(value) else []
        if len(said) == 1 and isinstance(said[0], str):
            return said[0]
    return to_json(_readable(value)).decode()


def action_of(text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the action that a model's words stand for, as a dictionary.

    If the action has one field that has to be given, or only one at all, and it is text, the words are it; if it
    is anything else, the last JSON value of its kind in the words. Otherwise it is the last JSON object there.
    Whether the fields are right is for the environment to say.

    Args:
        text: What the model said.
        schema: JSON Schema of the action, as at `/schema`; also one of several actions.

    Raises:
        ValueError: There is nothing in it that could be the action, or what there is holds a number that is not
            finite, or is nested too deeply; the message is for the model.
    """
    action = _action(text, schema)
    _refuse_unsendable(action)
    return action


def _action(text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    name, field = only_field(schema)
    values = _values(text)
    objects = [value for value in values if isinstance(value, dict)]
    if name is None:
        if not objects:
            raise ValueError(f"Answer with an action as {_forms(schema)}")
        return objects[-1]
    if objects and (name in objects[-1] or len(_members(schema)) > 1):
        return objects[-1]
    kind = field.get("type")
    if kind == "string":
        return {name: text}
    if kind in ("integer", "number"):
        numbers = re.findall(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?" if kind == "number" else r"-?\d+", text)
        if numbers:
            return {name: float(numbers[-1]) if kind == "number" else int(numbers[-1])}
        raise ValueError(f"Answer with a number: {name}")
    if values:
        return {name: values[-1]}
    raise ValueError(f"Answer with {name} as JSON")


def fields_of(schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the schemas of an action's fields by name, without that of its metadata."""
    return {name: field for name, field in schema.get("properties", {}).items() if name != "metadata"}


def only_field(schema: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any]]:
    """Return the field that stands for the whole action, and its schema; None if there is none.

    It is the one that has to be given, or the only one there is. Of several actions it is that of the one which is
    no call of a tool, if it is one.
    """
    members = _members(schema)
    own = [member for member in members if member.get("title") not in (_CALL, _LIST)]
    if len(own) != 1:
        return None, {}
    fields = fields_of(own[0])
    required = [name for name in own[0].get("required", ()) if name in fields]
    names = required if len(required) == 1 else list(fields)
    return (names[0], fields[names[0]]) if len(names) == 1 else (None, {})


def takes_tool_calls(schema: Mapping[str, Any]) -> bool:
    """Return whether an environment has tools of its own, going by the schema of its actions."""
    return any(one.get("title") == _CALL for one in (schema, *_members(schema)))


def _members(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the schemas of the actions that there are: several for a union."""
    definitions = schema.get("$defs", {})
    members = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return [definitions.get(str(one.get("$ref", "")).rpartition("/")[2], one) for one in members]


def _forms(schema: Mapping[str, Any]) -> str:
    """Return what an action looks like, in words."""
    forms = [", ".join(starmap(_part, fields_of(one).items())) or "nothing" for one in _members(schema)]
    if len(forms) == 1:
        return f"a JSON object of: {forms[0]}"
    return f"a JSON object of one of these: {'; '.join(f'({form})' for form in forms)}"


def _part(name: str, field: Mapping[str, Any]) -> str:
    return f"{name} {to_json(field['const']).decode()}" if "const" in field else name


def _values(text: str) -> list[Any]:
    """Return the outermost JSON objects and arrays in a text, or the text itself if it is JSON as a whole."""
    found: list[Any] = []
    try:
        with suppress(ValueError):
            return [_DECODER.decode(text.strip())]
        at = 0
        while (match := re.compile(r"[{\[]").search(text, at)) is not None:
            try:
                value, at = _DECODER.raw_decode(text, match.start())
                found.append(value)
            except ValueError:
                at = match.end()
    except RecursionError:  # to try each of so many brackets in turn may take a minute, and none is an action
        pass
    return found


def _refuse_unsendable(value: Any, depth: int = 0) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"The action is nested more than {_DEEPEST} levels deep")
    if isinstance(value, float) and not isfinite(value):  # JSON can write one as 1e999
        raise ValueError("A number of the action is too large")
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _refuse_unsendable(one, depth + 1)


def _simple(value: Mapping[str, Any]) -> bool:
    return all(one is None or isinstance(one, (str, int, float, bool)) for one in value.values())


def _readable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _readable(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(one) for one in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    if hasattr(value, "tolist") and hasattr(value, "shape"):
        return value.tolist() if value.size <= _BLOB else f"<array of shape {tuple(value.shape)}>"
    return encode(value)
