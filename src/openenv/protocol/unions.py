"""Which class of a union a payload means.

An environment may take `RunCode | Reset` without a type field on either. Members that share a `Literal`
field are told apart by it, in Rust. Otherwise the keys decide: exactly one member must accept them. Where
two would, the payload must say which by `"type": "<class name>"`; guessing would execute the wrong action.
"""

from __future__ import annotations

import types
from collections.abc import Set
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema, to_json

TAG = "type"


def members(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union type or a list of types, or the type itself as the only member."""
    if isinstance(annotation, list | tuple):
        return tuple(annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        return members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return tuple(m for m in get_args(annotation) if m is not type(None))
    return (annotation,)


def wire_type(annotation: Any) -> Any:
    """Return the type to validate payloads by: the class itself, or a union that can be decided."""
    classes = members(annotation)
    if len(classes) == 1:
        return classes[0]
    if not all(isinstance(c, type) and issubclass(c, BaseModel) for c in classes):
        return Union[classes]  # noqa: UP007 - built at run time
    if name := _literal_field(classes):
        return Annotated[Union[classes], Field(discriminator=name)]  # noqa: UP007
    return Annotated[Any, _ByKeys(classes)]


def needs_tag(cls: type, annotation: Any) -> bool:
    """Return whether a full dump of `cls`, with or without metadata, could be read as another member."""
    others = [c for c in members(annotation) if c is not cls and isinstance(c, type) and issubclass(c, BaseModel)]
    if not others or not issubclass(cls, BaseModel) or _literal_field((cls, *others)):
        return False
    dumped = cls.model_fields.keys()
    return any(_Keys.of(c).fit(dumped - {"metadata"}) or _Keys.of(c).fit(dumped) for c in others)


def _literal_field(classes: tuple[type[BaseModel], ...]) -> str | None:
    shared = set.intersection(*(set(c.model_fields) for c in classes))
    literal = sorted(n for n in shared if all(_is_literal(c.model_fields[n]) for c in classes))
    return TAG if TAG in literal else next(iter(literal), None)


def _is_literal(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is Literal


class _Keys(NamedTuple):
    """The keys a payload of a class may have, and the groups of which it must have one each."""

    known: frozenset[str]
    required: tuple[frozenset[str], ...]

    @staticmethod
    def of(model: type[BaseModel]) -> _Keys:
        fields = model.model_fields
        spellings = {name: frozenset((name, field.alias or name)) for name, field in fields.items()}
        required = (spellings[name] for name, field in fields.items() if field.is_required())
        return _Keys(frozenset().union(*spellings.values()), tuple(required))

    def fit(self, keys: Set[str]) -> bool:
        """Return whether a payload of these keys could be of the class."""
        return keys <= self.known and not any(keys.isdisjoint(spellings) for spellings in self.required)


class _ByKeys:
    """Validates a payload as the one member whose keys fit it."""

    def __init__(self, classes: tuple[type[BaseModel], ...]) -> None:
        self.classes = classes
        self.by_name = {c.__name__: c for c in classes}
        self.keys = {c: _Keys.of(c) for c in classes}

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_plain_validator_function(self.select_json),
            python_schema=core_schema.no_info_plain_validator_function(self.select),
        )

    def __get_pydantic_json_schema__(self, _schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [handler(c.__pydantic_core_schema__) for c in self.classes]}

    def select(self, payload: Any) -> BaseModel:
        """Return a Python value as the member it is or fits."""
        if isinstance(payload, self.classes):
            return payload
        cls, payload = self._decide(payload)
        return cls.model_validate(payload)

    def select_json(self, payload: Any) -> BaseModel:
        """Return what was JSON as the member it fits; as text again, for arrays and bytes have a form there."""
        cls, payload = self._decide(payload)
        return cls.model_validate_json(to_json(payload))

    def _decide(self, payload: Any) -> tuple[type[BaseModel], dict[str, Any]]:
        if not isinstance(payload, dict):
            raise PydanticCustomError("dict_type", "Input should be a valid dictionary")
        tag = payload.get(TAG)
        named = self.by_name.get(tag) if isinstance(tag, str) else None
        if named is not None and TAG not in self.keys[named].known:
            return named, {k: v for k, v in payload.items() if k != TAG}
        fitting = [c for c, keys in self.keys.items() if keys.fit(payload.keys())]
        if len(fitting) == 1:
            return fitting[0], payload
        raise self._refusal(payload, fitting)

    def _refusal(self, payload: dict[str, Any], fitting: list[type[BaseModel]]) -> PydanticCustomError:
        names = ", ".join(c.__name__ for c in (fitting or self.classes))
        if fitting:
            text = 'The keys {keys} fit more than one of {names}; add "type" with the class name'
            return PydanticCustomError("union_ambiguous", text, {"keys": str(sorted(payload)), "names": names})
        text = "The keys {keys} fit none of {names}"
        return PydanticCustomError("union_no_match", text, {"keys": str(sorted(payload)), "names": names})
