"""From bytes to typed requests, for the types of one environment.

`ServerCodec` is built once, when an environment is wrapped. A message is validated once, by pydantic's Rust core,
from the text straight into the typed object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Generic, Protocol, TypeVar

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json

from openenv import values
from openenv.errors import InvalidRequestError, SerializationError
from openenv.models import Model, State
from openenv.protocol import messages as m
from openenv.protocol.schemas import json_schema
from openenv.protocol.unions import wire_type

T = TypeVar("T")


class ToolCalls(Protocol):
    """Understands the calls of tools; see `openenv.mcp.actions.ActionTools.called`."""

    def __call__(self, payload: Any, *, plain: bool = True) -> Any:
        """Return the action that the payload of a step stands for, if it is the call of a tool; else None.

        Raises:
            InvalidRequestError: It is, and there is no such tool, or its arguments are not these.
        """


class _Decoder(Generic[T]):
    """Validates JSON text as one type and turns every failure into one error.

    Args:
        annotation: The type.
        otherwise: Asked what a text means that is not of the type; None if it means nothing to it either.
    """

    def __init__(self, annotation: Any, otherwise: Callable[[bytes | str], T | None] | None = None) -> None:
        self.adapter: TypeAdapter[T] = TypeAdapter(annotation)
        self._otherwise = otherwise

    def __call__(self, raw: bytes | str) -> T:
        try:
            message: T = self.adapter.validator.validate_json(raw)
        except ValidationError as error:
            found = self._otherwise(raw) if self._otherwise is not None else None
            if found is None:
                raise invalid(error) from None
            message = found
        except (Exception, SystemExit) as error:  # a validator of the environment's author that broke
            raise broken_validator(error) from error
        refuse_non_finite(raw)
        return message


def refuse_non_finite(raw: bytes | str) -> None:
    """Raise InvalidRequestError if the JSON text holds NaN or infinity, which JSON has no words for."""
    try:
        values.refuse_non_finite(raw, what="message")
    except SerializationError as error:
        raise InvalidRequestError(error.message, code="INVALID_JSON") from None


def invalid(error: ValidationError) -> InvalidRequestError:
    """Return what a failed validation means on the wire."""
    # Neither `input` (may be huge or secret) nor `ctx` (may hold exceptions) is sent.
    found = error.errors(include_url=False, include_context=False, include_input=False)
    first = found[0]
    if first["type"] == "json_invalid":
        return InvalidRequestError(first["msg"], code="INVALID_JSON")
    if first["type"] == "union_tag_invalid" and not first["loc"]:
        return InvalidRequestError(f"Unknown message type: {first['msg']}", code="UNKNOWN_TYPE")
    if first["type"] == "union_tag_not_found" and not first["loc"]:
        return InvalidRequestError('Unknown message type: a message needs a "type"', code="UNKNOWN_TYPE")
    errors = [{"loc": _relative(e), "msg": e["msg"], "type": e["type"]} for e in found[:_ERRORS_TOLD]]
    where = ".".join(map(str, errors[0]["loc"]))
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return InvalidRequestError(
        f"Invalid message: {where + ': ' if where else ''}{errors[0]['msg']}{more}",
        code="VALIDATION_ERROR",
        errors=errors,
    )


def broken_validator(error: BaseException) -> InvalidRequestError:
    """Return what it means on the wire that validating raised something that is no validation error."""
    name = type(error).__name__
    message = f"Invalid message: a validator raised {name}: {values.text_of(error)}"
    return InvalidRequestError(message, exception=name)


_ERRORS_TOLD = 50
"""Errors told of one message; one of a million unknown fields is not answered by a list of a million."""

_V1_FRAMES = {"reset", "step", "state", "close", "mcp"}
_V2_FRAMES = {"hello", "open", "resume", "reset_many", "step_many", "cancel", "ping"}
_FRAMES = _V1_FRAMES | _V2_FRAMES


def _relative(error: ErrorDetails) -> list[int | str]:
    """Return the location as the sender counts: within the action, or within the data of the reset."""
    loc = list(error["loc"])
    if loc and loc[0] in _FRAMES:
        loc.pop(0)
    return loc[1:] if len(loc) > 1 and loc[0] in ("data", "action") else loc


class ServerCodec:
    """Decodes requests for, and encodes replies of, one environment.

    Args:
        action: The action class, or a union of several.
        observation: The observation class or union; for the schema.
        state: The state class; for the schema.
        reset_observation: What `reset` returns if it is not `observation`; for the schema.
        tool_calls: Understands the call of a tool where the environment's actions do not.
    """

    def __init__(
        self,
        action: Any,
        observation: Any,
        state: Any = State,
        reset_observation: Any = None,
        tool_calls: ToolCalls | None = None,
    ) -> None:
        self._tool_calls = tool_calls
        self.action, self.observation, self.state = action, observation, state
        self.reset_observation = reset_observation or observation
        wire = wire_type(action)
        frames = (
            m.WSResetMessage
            | m.WSStepMessage[wire]  # type: ignore[valid-type]
            | m.WSStateMessage
            | m.WSCloseMessage
            | m.WSMCPMessage
        )
        self.decode: _Decoder[Any] = _Decoder(Annotated[frames, Field(discriminator="type")], self._called)
        self.decode_reset: _Decoder[m.ResetRequest] = _Decoder(m.ResetRequest)
        self.decode_step: _Decoder[m.StepRequest[Any]] = _Decoder(m.StepRequest[wire], self._requested)  # type: ignore[valid-type]

    def _called(self, raw: bytes | str) -> Any:
        """Return the step that a frame is if its action is the call of a tool."""
        return self._with_action(raw, "data", m.WSStepMessage[Any])

    def _requested(self, raw: bytes | str) -> Any:
        return self._with_action(raw, "action", m.StepRequest[Any])

    def _with_action(self, raw: bytes | str, key: str, model: type[Model]) -> Any:
        try:
            frame = from_json(raw)
        except ValueError:
            return None
        if self._tool_calls is None or not isinstance(frame, dict):
            return None
        action = self._tool_calls(frame.get(key))
        if action is None:
            return None
        try:
            return model.model_validate({**frame, key: action})
        except ValidationError:
            return None

    def schema(self) -> m.SchemaResponse:
        """Return the JSON Schemas of all types."""
        return m.SchemaResponse(
            action=json_schema(self.action),
            observation=json_schema(self.observation),
            state=json_schema(self.state),
            reset_observation=json_schema(self.reset_observation),
        )
