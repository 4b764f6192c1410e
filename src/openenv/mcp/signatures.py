"""The schemas of a function: of its arguments, from its parameters, and of its result, from its annotation.

Arguments are validated as a dictionary with a type for each key, so only what was given is passed on and defaults
stay the function's own. Everything is made once for a function, when it is first needed: by then all the types that
its annotations name exist.
"""

from __future__ import annotations

import inspect
import logging
import math
import sys
import typing
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Annotated, Any, NotRequired, get_args, get_origin

import typing_extensions
from pydantic import ConfigDict, Field, PydanticUserError, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from openenv import values
from openenv.errors import ConfigurationError, SerializationError
from openenv.mcp.docstrings import describe
from openenv.models import Observation, StepResult

logger = logging.getLogger("openenv.mcp")

WRAPPED = "x-fastmcp-wrap-result"
"""Set in an output schema whose object only wraps the result: the mark that FastMCP's clients unwrap by."""

_SCALARS = (str, int, bool)


class ResultError(Exception):
    """What a function returned is not what its annotation says, or has no JSON form."""


class Signature:
    """What a function takes and returns.

    Args:
        function: The function, or method of a class.
        skip: How many of its first parameters are not arguments, such as `self`.
        names: What its annotations may refer to beside the globals of its module.

    Attributes:
        description: Its docstring without the list of parameters.

    Raises:
        ConfigurationError: It has a parameter that can not be given by name, or whose default is a `Field`.
    """

    def __init__(self, function: Callable[..., Any], skip: int = 0, names: Mapping[str, Any] | None = None) -> None:
        self._function = function
        self._names = names
        parameters = list(inspect.signature(function).parameters.values())[skip:]
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
                raise ConfigurationError(
                    f"{_called(function)} takes {parameter} by position only; arguments of a tool or prompt have "
                    "names"
                )
            if isinstance(parameter.default, FieldInfo):
                raise ConfigurationError(
                    f"The default of {parameter.name} in {_called(function)} is a Field, which a call from Python "
                    f"would get; write {parameter.name}: Annotated[..., Field(...)]"
                )
        self.parameters = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
        self.open = len(self.parameters) < len(parameters)
        self.description, self.about = describe(function.__doc__)

    @cached_property
    def validate(self) -> Callable[[Any], dict[str, Any]]:
        """Returns the arguments as the function takes them.

        Raises:
            ValidationError: One is missing, unknown or of the wrong type.
        """
        validate: Callable[[Any], dict[str, Any]] = self._described[0].validator.validate_python
        return validate

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        schema = self._described[1]
        schema.pop("title", None)
        schema.pop("description", None)
        for parameter in self.parameters:
            if parameter.default is not parameter.empty:
                _add_default(schema["properties"][parameter.name], parameter.default)
        schema.setdefault("properties", {})
        if not self.open:
            schema["additionalProperties"] = False
        return schema

    @cached_property
    def output_schema(self) -> dict[str, Any] | None:
        """The JSON Schema of the result, of an object as MCP wants it; None if nothing is said of it."""
        if self._result is None:
            return None
        schema = self._result.json_schema(mode="serialization", schema_generator=_Untitled)
        if schema.get("type") == "object" or "properties" in schema:
            return {"type": "object", **schema}
        defs = schema.pop("$defs", None)
        wrapped = {"type": "object", "properties": {"result": schema}, "required": ["result"], WRAPPED: True}
        return {**wrapped, "$defs": defs} if defs else wrapped

    def plain(self, value: Any) -> Any:
        """Return a result as plain values, as its schema has it.

        Raises:
            ResultError: It is not what the annotation says, or has no JSON form.
        """
        kind = type(value)
        if kind is self._scalar:
            return value
        result = self._result
        try:
            if result is None:
                if kind not in _SCALARS and value is not None:
                    values.dumps(value, what="result")
                return value
            value = result.dump_python(result.validate_python(value), mode="json")
            if type(value) not in _SCALARS:
                values.refuse_non_finite(to_json(value), what="result")
        except ValidationError as error:
            raise ResultError(
                f"it returned {kind.__name__}, and its return annotation says something else: {mistakes(error)}"
            ) from error
        except SerializationError as error:
            raise ResultError(error.message) from error
        except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
            raise ResultError(f"The result cannot be serialised: {values.reason(error)}") from error
        return value

    @cached_property
    def _scalar(self) -> Any:
        """The class of results that need no look; None if there is none."""
        annotation = self._hints.get("return")
        return annotation if self._result is not None and annotation in _SCALARS else None

    @cached_property
    def _described(self) -> tuple[TypeAdapter[Any], dict[str, Any]]:
        """The type of the arguments, and its schema: both or none, lest what is called can not be listed."""
        fields = {p.name: self._field(p) for p in self.parameters}
        arguments = _dictionary(_name(self._function), fields)
        arguments.__pydantic_config__ = ConfigDict(extra="allow" if self.open else "forbid")
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(arguments)
            return adapter, adapter.json_schema(schema_generator=_Untitled)
        except PydanticUserError as error:
            raise ConfigurationError(
                f"{_called(self._function)} takes what has no JSON form: {_first_line(error)}"
            ) from error

    def _field(self, parameter: inspect.Parameter) -> Any:
        annotation = modern(self._hints.get(parameter.name, Any))
        if about := self.about.get(parameter.name):
            # Before what the annotation says of itself, which is more exact.
            inner, *said = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
            annotation = Annotated[(inner, Field(description=about), *said)]
        return annotation if parameter.default is parameter.empty else NotRequired[annotation]

    @cached_property
    def _result(self) -> TypeAdapter[Any] | None:
        annotation = modern(self._hints.get("return", Any))
        if annotation in (Any, object, type(None)) or _tells_of_a_step(annotation):
            return None
        try:
            adapter = TypeAdapter(annotation)
            adapter.json_schema(mode="serialization")
        except PydanticUserError:  # an array, for example: nothing can be said of it
            return None
        return adapter

    @cached_property
    def _hints(self) -> dict[str, Any]:
        try:
            return typing.get_type_hints(self._function, localns=self._locals, include_extras=True)
        except Exception:
            return self._hints_one_by_one()

    @property
    def _locals(self) -> dict[str, Any] | None:
        return dict(self._names) if self._names else None

    def _hints_one_by_one(self) -> dict[str, Any]:
        """Return what can be resolved; the rest, which only a type checker can see, is as if not annotated."""
        found: dict[str, Any] = {}
        for name, annotation in getattr(self._function, "__annotations__", {}).items():

            def alone() -> None: ...

            alone.__annotations__ = {name: annotation}
            scope = getattr(inspect.unwrap(self._function), "__globals__", {})
            try:
                found |= typing.get_type_hints(alone, scope, self._locals, include_extras=True)
            except Exception as error:
                logger.warning(
                    "%s: the annotation of %s is ignored: %s", _called(self._function), name, values.text_of(error)
                )
        return found


class _Untitled(GenerateJsonSchema):
    """Leaves out the titles that pydantic makes of names: they tell a model nothing, and it pays for them."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def mistakes(error: ValidationError, limit: int = 5) -> str:
    """Return what is wrong, in one line: where, and why."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{'.'.join(map(str, e['loc'])) or 'it'}: {e['msg']}" for e in found[:limit]]
    return "; ".join(told) + (f"; and {len(found) - limit} more" if len(found) > limit else "")


def modern(annotation: Any) -> Any:
    """Return a type with every `typing.TypedDict` in it as pydantic takes it.

    Before Python 3.12 it takes that of `typing_extensions` only.
    """
    if sys.version_info >= (3, 12):
        return annotation
    if isinstance(annotation, type) and type(annotation) is type(_Probe):
        required: frozenset[str] = annotation.__required_keys__
        hints = typing.get_type_hints(annotation, include_extras=True).items()
        fields = {n: modern(_bare(h)) if n in required else NotRequired[modern(_bare(h))] for n, h in hints}
        made = _dictionary(annotation.__name__, fields)
        made.__doc__ = annotation.__doc__
        return made
    arguments = get_args(annotation)
    if not arguments or get_origin(annotation) is typing.Literal:
        return annotation
    changed = tuple(modern(argument) for argument in arguments)
    if all(new is old for new, old in zip(changed, arguments, strict=True)):
        return annotation
    if get_origin(annotation) is Annotated:
        return Annotated[(changed[0], *arguments[1:])]
    if hasattr(annotation, "copy_with"):
        return annotation.copy_with(changed)
    origin: Any = get_origin(annotation)
    return typing.Union[changed] if not hasattr(origin, "__class_getitem__") else origin[changed]  # noqa: UP007


def _dictionary(name: str, fields: dict[str, Any]) -> Any:
    """Return the type of a dictionary with a type for each key."""
    make: Any = typing_extensions.TypedDict
    return make(name, fields)


class _Probe(typing.TypedDict):
    """Of the class that all of `typing` have."""


def _bare(hint: Any) -> Any:
    """Return a hint without `Required` or `NotRequired`."""
    origin = get_origin(hint)
    return get_args(hint)[0] if origin in (typing.Required, typing.NotRequired) else hint


def _tells_of_a_step(annotation: Any) -> bool:
    classes = get_args(annotation) or (annotation,)
    return any(isinstance(c, type) and issubclass(c, Observation | StepResult) for c in classes)


def _add_default(schema: dict[str, Any], default: Any) -> None:
    try:
        plain = to_jsonable_python(default)
    except Exception:  # a default that JSON can not say is still the default
        return
    if not (isinstance(plain, float) and not math.isfinite(plain)):
        schema["default"] = plain


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _called(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__qualname__', _name(function))}()"


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
