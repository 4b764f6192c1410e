"""Actions from dictionaries and dictionaries from observations, one at a time.

For programs that carry messages in a way of their own. Server and client do not come by here: they hold a codec
that was built once (`openenv.protocol.codec`) and never make these dictionaries.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from openenv.models import Action, Observation
from openenv.protocol.unions import wire_type

__all__ = ["deserialize_action", "deserialize_action_with_preprocessing", "serialize_observation"]


def deserialize_action(action_data: Mapping[str, Any], action_cls: Any) -> Any:
    """Return the action that a dictionary stands for.

    Args:
        action_data: Its fields.
        action_cls: The action class, or a union of several.

    Raises:
        pydantic.ValidationError: A field is missing, unknown or of the wrong type.
    """
    return _adapter(action_cls).validate_python(dict(action_data))


def deserialize_action_with_preprocessing(action_data: Mapping[str, Any], action_cls: Any) -> Any:
    """Do the same for what a form sends, where every value is a text.

    A text that does not fit its field is read as JSON, or as values with commas between them for a list. An
    empty one counts as not filled in.

    Raises:
        pydantic.ValidationError: It does not fit then either.
    """
    try:
        return deserialize_action(action_data, action_cls)
    except ValidationError as error:
        wrong = {part: found["type"] for found in error.errors() for part in found["loc"]}
        texts = {name: text for name, text in action_data.items() if name in wrong and isinstance(text, str)}
        if not texts:
            raise
    others = {name: value for name, value in action_data.items() if name not in texts}
    read = {name: _read(text.strip(), wrong[name]) for name, text in texts.items() if text.strip()}
    return deserialize_action({**others, **read}, action_cls)


def serialize_observation(observation: Observation) -> dict[str, Any]:
    """Return an observation as `{"observation", "reward", "done"}`, and `metadata` beside them if there is any.

    Values are as in Python: bytes and arrays are what they are.
    """
    wire: dict[str, Any] = {
        "observation": observation.model_dump(exclude={"reward", "done"}),
        "reward": observation.reward,
        "done": observation.done,
    }
    if observation.metadata:
        wire["metadata"] = observation.metadata
    return wire


def _read(text: str, error: str) -> Any:
    if error in ("list_type", "tuple_type", "set_type") and not text.startswith("["):
        text = f"[{text}]"
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        return text


@lru_cache(maxsize=128)
def _adapter(action_cls: type[Action] | Any) -> TypeAdapter[Any]:
    return TypeAdapter(wire_type(action_cls))
