"""What a server says, in JSON: observations with reward and end beside them, states, errors.

A result is serialised once, by pydantic's Rust core, and the few fields beside the observation are put around it as
text.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import isfinite
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from openenv import values
from openenv.errors import RequestError, SerializationError
from openenv.models import Observation, StepResult
from openenv.outcomes import Outcome

BESIDE_OBSERVATION = {"done", "reward"}
"""Fields of an observation that travel beside it."""


def encode_result(result: StepResult[Any]) -> bytes:
    """Return the JSON of a `ResultData`: the observation, and beside it reward, done and what else there is.

    Raises:
        SerializationError: A value has no JSON form.
    """
    observation = result.observation
    body = _dump_observation(observation)
    declared = _declared(result)
    if not (declared or result.truncated or result.info or result.metadata):
        return _plain_result(body, result.reward, result.done)
    parts = [b'{"observation":', body, b',"reward":', _reward(result.reward), b',"done":']
    parts.append(b"true" if result.done else b"false")
    if result.truncated:
        parts.append(b',"truncated":true')
    if declared:
        parts += (b",", to_json(declared)[1:-1])
    if result.info:
        parts += (b',"info":', values.dumps(result.info, what="info"))
    if result.metadata:
        parts += (b',"metadata":', values.dumps(result.metadata, what="metadata"))
    parts.append(b"}")
    return b"".join(parts)


def _declared(result: StepResult[Any]) -> dict[str, Any]:
    """Return what an environment said of how its step came out, beyond `done` and `truncated`."""
    outcome = result.outcome
    if outcome == Outcome.of(result.done, result.truncated, result.reward is not None):
        return {"terminated": True} if result.truncated and result.terminated else {}
    declared: dict[str, Any] = {"outcome": outcome._asdict()}
    return {"terminated": True, **declared} if result.terminated else declared


def _plain_result(observation: bytes, reward: Any, done: bool) -> bytes:
    end = b"true" if done else b"false"
    return b'{"observation":%b,"reward":%b,"done":%b}' % (observation, _reward(reward), end)


def _reward(reward: Any) -> bytes:
    """Return the JSON of a reward. It may have been assigned, so that nothing has looked at it before."""
    if type(reward) is float and isfinite(reward):
        return b"%a" % reward
    return to_json(_checked(reward))


def _checked(reward: Any) -> Any:
    if reward is None or (isinstance(reward, int | float) and isfinite(reward)):
        return reward
    raise SerializationError(f"The reward is {reward!r:.100}, and neither a finite number nor None")


def plain_observation(observation: Any) -> bytes | None:
    """Return what `encode_result` does for an observation with nothing unusual about it; None for anything else.

    The point is what it leaves out.
    """
    try:
        cls: Any = type(observation)
        dump = _plain_dump(cls)
        fields = observation.__dict__
        if dump is None or fields["metadata"]:
            return None
        body = dump(observation, exclude=BESIDE_OBSERVATION, fallback=values.fallback)
        if b"NaN" in body or b"Infinity" in body:
            return None
        return _plain_result(body, fields["reward"], fields["done"])
    except BaseException:  # whatever a serialiser of its author raises; `encode_result` says what
        return None


def result_data(result: StepResult[Any]) -> dict[str, Any]:
    """Return the same as plain values, arrays and bytes."""
    observation = result.observation
    if isinstance(observation, BaseModel):
        observation = observation.model_dump(exclude=BESIDE_OBSERVATION)
    data = {"observation": observation, "reward": _checked(result.reward), "done": result.done}
    if result.truncated:
        data["truncated"] = True
    data |= _declared(result)
    if result.info:
        data["info"] = result.info
    if result.metadata:
        data["metadata"] = result.metadata
    return data


def _dump_observation(observation: Any) -> bytes:
    if not isinstance(observation, BaseModel):
        return values.dumps(observation, what="observation")
    return dump_model(observation, exclude=BESIDE_OBSERVATION, what="observation")


def dump_model(model: BaseModel, *, exclude: set[str] | None = None, what: str = "value") -> bytes:
    """Return the JSON of a model.

    Raises:
        SerializationError: A value has no JSON form; the message says which.
    """
    cls = type(model)
    try:
        dump, nulls_non_finite = _dumping(cls)
        raw: bytes = dump(model, exclude=exclude, fallback=values.fallback)
        if nulls_non_finite:
            values.refuse_non_finite_tree(model.model_dump(exclude=exclude), what=f"{what} {cls.__name__}")
    except SerializationError:
        raise
    except Exception as error:  # whatever a custom serialiser raises
        raise SerializationError(
            f"The {what} {cls.__name__} cannot be serialised: {values.reason(error)}"
        ) from error
    if b"NaN" in raw or b"Infinity" in raw:
        values.refuse_non_finite(raw, what=f"{what} {cls.__name__}")
    return raw


@cache
def _dumping(cls: type[BaseModel]) -> tuple[Callable[..., bytes], bool]:
    return cls.__pydantic_serializer__.to_json, nulls_non_finite(cls)


@cache
def _plain_dump(cls: type[Any]) -> Callable[..., bytes] | None:
    is_plain = issubclass(cls, Observation) and not nulls_non_finite(cls)
    return cls.__pydantic_serializer__.to_json if is_plain else None


@cache
def nulls_non_finite(cls: type[BaseModel]) -> bool:
    """Return whether a model is, or holds, one of a class whose serialiser turns NaN into null in silence."""
    return _finds_foreign(cls.__pydantic_core_schema__)


def _finds_foreign(schema: Any) -> bool:
    if isinstance(schema, list | tuple):
        return any(map(_finds_foreign, schema))
    if not isinstance(schema, dict):
        return False
    if schema.get("type") in ("model", "dataclass", "typed-dict"):
        config = getattr(schema.get("cls"), "model_config", {})
        if config.get("ser_json_inf_nan") != "constants":
            return True
    return any(_finds_foreign(value) for key, value in schema.items() if key not in ("metadata", "cls", "config"))


def encode_state(state: Any) -> bytes:
    """Return the JSON of a state.

    Raises:
        SerializationError: A value has no JSON form.
    """
    if isinstance(state, BaseModel):
        return dump_model(state, what="state")
    return values.dumps(state, what="state")


def frame(kind: str, data: bytes) -> bytes:
    """Return a WebSocket frame of the given type around encoded data."""
    return b'{"type":"%s","data":%s}' % (kind.encode(), data)


def encode_error(error: RequestError) -> bytes:
    """Return the JSON of an `ErrorData`. Never fails."""
    return to_lenient_json(error.to_wire())


def to_lenient_json(value: Any) -> bytes:
    """Return JSON of anything, if need be by its `repr`; for errors, which must not fail in turn."""
    try:
        return to_json(value, fallback=repr, inf_nan_mode="strings")
    except Exception:  # a lone surrogate, a `repr` that raises, more levels than JSON is written with
        return to_json(_printable(value), inf_nan_mode="strings")


_LEVELS = 50
"""Of what an error tells; what lies deeper is left out."""


def _printable(value: Any, level: int = 0) -> Any:
    if isinstance(value, dict | list | tuple) and level == _LEVELS:
        return "..."
    if isinstance(value, dict):
        return {_printable(str(key)): _printable(item, level + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item, level + 1) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text.encode("utf-8", errors="backslashreplace").decode()
