"""The actions of an environment as tools: where a call becomes an action, whichever door it came through.

Everything is derived from the types once, when an environment is wrapped.
"""

from __future__ import annotations

import inspect
import re
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from openenv.errors import InvalidRequestError
from openenv.mcp.types import RESERVED_TOOL_NAMES, CallToolAction, ListToolsAction, Tool
from openenv.models import Action, Observation
from openenv.protocol.codec import broken_validator, invalid
from openenv.protocol.schemas import json_schema
from openenv.protocol.unions import members
from openenv.values import dumps

NAMES_TOLD = 20
"""Names of tools that a refusal lists."""


class ActionTools:
    """The tools that the types of an environment stand for, and the actions that calls of them stand for.

    Args:
        action: The action class, or a union of several.
        observation: The observation class, or a union.

    Attributes:
        tools: One for each action class that is not itself the call of a tool.
        takes_calls: The environment has tools of its own: it takes `CallToolAction`.
    """

    def __init__(self, action: Any, observation: Any) -> None:
        classes = [cls for cls in members(action) if isinstance(cls, type) and issubclass(cls, BaseModel)]
        own = [
            cls for cls in classes if not issubclass(cls, CallToolAction | ListToolsAction) and cls is not Action
        ]
        self._calls = next((cls for cls in classes if issubclass(cls, CallToolAction)), None)
        self._classes: dict[str, type[BaseModel]] = {}
        for cls in own:
            name = tool_name(cls)
            self._classes[name if name not in self._classes else f"{name}_{len(self._classes) + 1}"] = cls
        output = _without(json_schema(observation), set(Observation.model_fields))
        self.tools = [
            Tool(
                name=name,
                description=_summary(cls),
                input_schema=_without(json_schema(cls), _unsaid(cls)),
                output_schema=output if output.get("type") == "object" else None,
            )
            for name, cls in self._classes.items()
        ]

    @property
    def takes_calls(self) -> bool:
        """Whether the environment has tools of its own."""
        return self._calls is not None

    def is_action(self, name: str) -> bool:
        """Return whether a tool is an action class, so that its result is the observation."""
        return name in self._classes

    def action(self, name: str, arguments: dict[str, Any], *, plain: bool = True) -> Any:
        """Return the action that a call stands for.

        Args:
            name: Of the tool.
            arguments: By name.
            plain: They are as JSON has them, bytes in base64; else they are Python's values.

        Raises:
            InvalidRequestError: There is no such tool, or the arguments are not those of the action. Whether a
                tool of the environment's own exists, and takes the arguments, is for the environment to say.
        """
        cls = self._classes.get(name)
        if cls is None:
            if self._calls is None:
                raise self.unknown(name)
            return self._calls(tool_name=name, arguments=arguments)
        try:
            return cls.model_validate_json(dumps(arguments)) if plain else cls.model_validate(arguments)
        except ValidationError as error:
            raise _wrong_arguments(name, cls, error) from None
        except (Exception, SystemExit) as error:  # a validator of the environment's author that broke
            raise broken_validator(error) from error

    def called(self, payload: Any, *, plain: bool = True) -> Any:
        """Return the action that the payload of a step stands for, if it is about tools; else None.

        Raises:
            InvalidRequestError: See `action`.
        """
        kind = payload.get("type") if isinstance(payload, dict) else None
        if not isinstance(kind, str):  # it may be an array
            return None
        if kind == "list_tools" and self.takes_calls and payload.keys() <= {"type", "metadata"}:
            return ListToolsAction()  # of an environment whose application names `CallToolAction` alone
        if kind != "call_tool" or not payload.get("tool_name"):
            return None
        arguments = payload.get("arguments", {})
        name = payload["tool_name"]
        return self.action(name, arguments, plain=plain) if self._is_call(name, arguments) else None

    @staticmethod
    def _is_call(name: Any, arguments: Any) -> bool:
        return isinstance(name, str) and isinstance(arguments, dict)

    def unknown(self, name: str, others: tuple[str, ...] = ()) -> InvalidRequestError:
        """Return what it means that there is no tool of a name."""
        names = [*self._classes, *others]
        told = ", ".join(names[:NAMES_TOLD]) or "none"
        more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
        return InvalidRequestError(f"There is no tool {name[:100]!r}. The tools are: {told}{more}")


def tool_name(cls: type) -> str:
    """Return what the tool of an action class is called: `MoveAction` is `move`, `SendMail` is `send_mail`.

    A name that the environment's own verbs have is not taken: `StepAction` is `step_action`.
    """
    short = _snake(cls.__name__).removesuffix("_action")
    return f"{short}_action" if short in RESERVED_TOOL_NAMES else short


def _snake(name: str) -> str:
    name = re.sub(r"\[.*", "", name)  # the arguments of a generic class
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower().strip("_")


def _summary(cls: type) -> str:
    doc = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
    return re.split(r"\n\s*(?:Attributes|Args|Parameters|Fields):", doc)[0].strip()


def _unsaid(cls: type[BaseModel]) -> set[str]:
    """Return the fields that a caller does not say: extras, and the one that tells the members of a union apart."""
    fixed = {
        name
        for name, field in cls.model_fields.items()
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
        if not field.is_required()
    }
    return fixed | {"metadata"}


def _without(schema: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """Return the schema of an object without some of its properties; what the docstring says is left out, too."""
    schema = {key: value for key, value in schema.items() if key not in ("title", "description")}
    if schema.get("type") != "object":
        return schema
    schema["properties"] = {k: v for k, v in schema.get("properties", {}).items() if k not in names}
    schema["required"] = [name for name in schema.get("required", ()) if name not in names]
    if not schema["required"]:
        del schema["required"]
    used = dumps(schema["properties"]).decode()
    if "$defs" in schema:
        schema["$defs"] = {k: v for k, v in schema["$defs"].items() if f"#/$defs/{k}" in used or _nested(schema, k)}
        if not schema["$defs"]:
            del schema["$defs"]
    return schema


def _nested(schema: dict[str, Any], name: str) -> bool:
    return f"#/$defs/{name}" in dumps(schema["$defs"]).decode()


def _wrong_arguments(name: str, cls: type[BaseModel], error: ValidationError) -> InvalidRequestError:
    refused = invalid(error)
    takes = ", ".join(n for n in cls.model_fields if n not in _unsaid(cls)) or "none"
    message = f"Wrong arguments for the tool {name!r}: {refused.message.removeprefix('Invalid message: ')}"
    return InvalidRequestError(f"{message}. It takes: {takes}", code="VALIDATION_ERROR", errors=refused.errors)
