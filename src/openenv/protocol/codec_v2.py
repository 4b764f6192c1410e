"""Frames of version 2 for the types of one environment."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from openenv import values
from openenv.errors import InvalidRequestError, SerializationError
from openenv.models import Model
from openenv.protocol import envelopes, v2
from openenv.protocol.codec import ToolCalls, broken_validator, refuse_non_finite
from openenv.protocol.formats import JSON, Format, unpack
from openenv.protocol.unions import wire_type


class ServerCodecV2:
    """Decodes the requests for one environment.

    Args:
        action: The action class, or a union of several.
        tool_calls: Understands the call of a tool where the environment's actions do not.
    """

    def __init__(self, action: Any, tool_calls: ToolCalls | None = None) -> None:
        self._tool_calls = tool_calls
        wire = wire_type(action)
        frames = (
            v2.Step[wire]  # type: ignore[valid-type]
            | v2.StepMany[wire]  # type: ignore[valid-type]
            | v2.Reset
            | v2.ResetMany
            | v2.GetState
            | v2.Open
            | v2.Resume
            | v2.Close
            | v2.Cancel
            | v2.Ping
            | v2.Hello
            | v2.Mcp
            | v2.Snapshot
            | v2.Restore
            | v2.Fork
            | v2.ListSnapshots
            | v2.Drop
        )
        self._frames: TypeAdapter[Any] = TypeAdapter(Annotated[frames, Field(discriminator="type")])
        self._step: TypeAdapter[Any] = TypeAdapter(v2.StepItem[wire])  # type: ignore[valid-type]
        self._reset: TypeAdapter[Any] = TypeAdapter(v2.ResetItem)
        is_model = isinstance(wire, type) and issubclass(wire, Model)
        self._action = TypeAdapter(wire).validator if is_model else None
        self._actions = TypeAdapter(list[wire]).validator if is_model else None  # type: ignore[valid-type]

    def plain_steps(self, raw: bytes) -> tuple[envelopes.Step | envelopes.StepMany, Any] | None:
        """Return a step in JSON and its action, or a batch of steps and the list of theirs.

        The same as `decode`, for the two frames that have to be fast. None if there is anything unusual about it,
        or wrong: `decode` understands it then.
        """
        if self._action is None or self._actions is None:
            return None
        try:
            frame = envelopes.steps(raw)
            if isinstance(frame, envelopes.Step):
                action = self._plain_action(bytes(frame.data))
                return None if action is None else (frame, action)
            actions = self._actions.validate_json(b"[%b]" % b",".join([item.data for item in frame.items]))
        except (Exception, SystemExit):
            return None
        return (frame, actions) if len(actions) == len(frame.items) and 0 < len(actions) <= v2.MAX_BATCH else None

    def _plain_action(self, raw: bytes) -> Any:
        """Return the action of a step in JSON, which may be the call of a tool; None if it is no action."""
        assert self._action is not None
        try:
            return self._action.validate_json(raw)
        except ValidationError:
            if self._tool_calls is None:
                return None
            return self._tool_calls(from_json(raw, allow_inf_nan=False))

    def decode(self, raw: bytes, format_: Format) -> Any:
        """Return the frame of `openenv.protocol.v2` that the bytes hold.

        Raises:
            ValidationError: It is none.
            InvalidRequestError: It is not even JSON, or MessagePack, or a validator of the action broke.
        """
        if format_ is not JSON:
            value = _unpacked(raw)
            if any(start in raw for start in _NON_FINITE_STARTS):
                _refuse_non_finite(value)
            try:
                return self._valid(self._frames, value)
            except ValidationError as error:
                return self._called(v2.Step[Any], value, format_, error)
        try:
            frame = self._frames.validate_json(raw)
        except ValidationError as error:
            frame = self._called(v2.Step[Any], readable(raw, format_), format_, error)
        except (Exception, SystemExit) as error:  # a validator of the environment's author
            raise broken_validator(error) from error
        refuse_non_finite(raw)
        return frame

    def item(self, kind: str, item: Any, format_: Format) -> Any:
        """Return one item of a batch, given as `readable` gives it.

        Raises:
            ValidationError: It is none.
            InvalidRequestError: A validator of the action broke, or a value in it has no meaning.
        """
        _refuse_non_finite(item)
        value = item
        if format_ is JSON:
            try:
                value = values.decode(item)
            except ValueError as error:
                raise InvalidRequestError(f"Invalid message: {error}") from None
        if kind == "reset_many":
            return self._valid(self._reset, value)
        try:
            return self._valid(self._step, value)
        except ValidationError as error:
            return self._called(v2.StepItem[Any], item, format_, error)

    def _called(self, model: type[v2.StepItem[Any]], frame: Any, format_: Format, error: ValidationError) -> Any:
        """Return the step that a refused frame is after all, if its action is the call of a tool."""
        action = None
        if self._tool_calls is not None and isinstance(frame, dict):
            action = self._tool_calls(frame.get("data"), plain=format_ is JSON)
        if action is None:
            raise error
        return model.model_validate({**frame, "data": action})

    @staticmethod
    def _valid(adapter: TypeAdapter[Any], value: Any) -> Any:
        try:
            return adapter.validate_python(value)
        except ValidationError:
            raise
        except (Exception, SystemExit) as error:  # a validator of the environment's author
            raise broken_validator(error) from error


_NON_FINITE_STARTS = (b"\xcb\x7f", b"\xcb\xff", b"\xca\x7f", b"\xca\xff")
"""How NaN and infinity begin in MessagePack, as do some very large numbers; only then is it worth a look."""


def _refuse_non_finite(value: Any) -> None:
    try:
        values.refuse_non_finite_tree(value, what="message")
    except SerializationError as error:
        raise InvalidRequestError(error.message, code="INVALID_JSON") from None


class _AnyBatch(v2.Frame):
    type: Literal["reset_many", "step_many"]
    items: list[Any] = Field(min_length=1, max_length=v2.MAX_BATCH)


def batch_of(frame: dict[str, Any]) -> tuple[int, str, list[Any]] | None:
    """Return the id, kind and items of a batch, whatever is in its items; None if it is not a batch at all."""
    try:
        batch = _AnyBatch.model_validate(frame)
    except ValidationError:
        return None
    return batch.id, batch.type, batch.items


def _unpacked(raw: bytes) -> Any:
    try:
        return unpack(raw)
    except Exception as error:  # whatever a hostile frame makes the parser raise
        raise InvalidRequestError(f"Not valid MessagePack: {error}", code="INVALID_JSON") from None


def readable(raw: bytes, format_: Format) -> dict[str, Any]:
    """Return what can be read of a frame that did not validate; nothing if it is not even an object.

    Tagged objects in JSON are left as they are: what is wrong may be in one of them.
    """
    try:
        frame = from_json(raw) if format_ is JSON else unpack(raw)
    except Exception:  # whatever a hostile frame makes the parsers raise
        return {}
    return frame if isinstance(frame, dict) else {}
