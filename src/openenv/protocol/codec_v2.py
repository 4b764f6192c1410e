"""Frames of version 2 for the types of one environment."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from openenv import values
from openenv.errors import InvalidRequestError
from openenv.protocol import v2
from openenv.protocol.codec import refuse_non_finite
from openenv.protocol.formats import JSON, Format, unpack
from openenv.protocol.unions import wire_type


class ServerCodecV2:
    """Decodes the requests for one environment.

    Args:
        action: The action class, or a union of several.
    """

    def __init__(self, action: Any) -> None:
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
        )
        self._frames: TypeAdapter[Any] = TypeAdapter(Annotated[frames, Field(discriminator="type")])
        self._step: TypeAdapter[Any] = TypeAdapter(v2.StepItem[wire])  # type: ignore[valid-type]
        self._reset: TypeAdapter[Any] = TypeAdapter(v2.ResetItem)

    def decode(self, raw: bytes, format_: Format) -> Any:
        """Return the frame of `openenv.protocol.v2` that the bytes hold.

        Raises:
            ValidationError: It is none.
            InvalidRequestError: It is not even JSON, or MessagePack.
        """
        if format_ is JSON:
            frame = self._frames.validate_json(raw)
            refuse_non_finite(raw)
            return frame
        try:
            return self._frames.validate_python(unpack(raw))
        except (ValueError, TypeError) as error:
            if isinstance(error, ValueError) and hasattr(error, "errors"):
                raise
            raise InvalidRequestError(f"Not valid MessagePack: {error}", code="INVALID_JSON") from None

    def item(self, kind: str, item: Any) -> Any:
        """Return one item of a batch.

        Raises:
            ValidationError: It is none.
        """
        adapter = self._reset if kind == "reset_many" else self._step
        return adapter.validate_python(item)


def readable(raw: bytes, format_: Format) -> dict[str, Any]:
    """Return what can be read of a frame that did not validate; nothing if it is not even an object."""
    try:
        frame = values.loads(raw) if format_ is JSON else unpack(raw)
    except Exception:  # whatever a hostile frame makes the parsers raise
        return {}
    return frame if isinstance(frame, dict) else {}
