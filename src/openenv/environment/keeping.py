"""The whole state of one environment as bytes, where the environment can tell it: `get_state` and `set_state`.

The value is written down in the wire's own form (JSON, with bytes and arrays as tagged objects), never pickled, and
read as what the parameter of `set_state` is annotated with.
"""

from __future__ import annotations

import inspect
import typing
from typing import Any

from pydantic import TypeAdapter

from openenv import values
from openenv.models import Model


class StateKeeper:
    """Takes and sets the state of one environment, and that of its rubric with it.

    Args:
        environment: The instance.
    """

    def __init__(self, environment: Any) -> None:
        self._environment = environment

    @property
    def keeps(self) -> bool:
        """Whether the environment can tell its state and be put into one."""
        return all(callable(getattr(self._environment, name, None)) for name in ("get_state", "set_state"))

    @property
    def reseeds(self) -> bool:
        """Whether its random generators can be given a seed in the middle of an episode."""
        return callable(getattr(self._environment, "reseed", None))

    def get(self) -> Any:
        """Return the state of environment and rubric, or a coroutine that leads to it; for `packed`."""
        value = self._environment.get_state()
        return self._awaited(value) if inspect.isawaitable(value) else self._with_rubric(value)

    def set(self, kept: bytes) -> Any:
        """Put environment and rubric into a state; what is returned may be a coroutine."""
        parts = values.loads(kept)
        value = _as_annotated(self._environment.set_state, parts["environment"])
        returned = self._environment.set_state(value)
        if inspect.isawaitable(returned):
            return self._awaited_set(returned, parts)
        self._set_rubric(parts)
        return None

    def reseed(self, seed: int) -> Any:
        """Give its random generators a seed; what is returned may be a coroutine."""
        return self._environment.reseed(seed)

    def _with_rubric(self, value: Any) -> dict[str, Any]:
        found = {"environment": value}
        rubric: Any = getattr(self._environment, "rubric", None)
        if callable(getattr(rubric, "state_dict", None)) and callable(getattr(rubric, "load_state_dict", None)):
            found["rubric"] = rubric.state_dict()
        return found

    def _set_rubric(self, parts: dict[str, Any]) -> None:
        if "rubric" in parts:
            self._environment.rubric.load_state_dict(parts["rubric"])

    async def _awaited(self, value: Any) -> dict[str, Any]:
        return self._with_rubric(await value)

    async def _awaited_set(self, returned: Any, parts: dict[str, Any]) -> None:
        await returned
        self._set_rubric(parts)


def packed(state: dict[str, Any]) -> bytes:
    """Return what `StateKeeper.get` has led to as bytes.

    Raises:
        SerializationError: A value has no form: NaN, infinity, an object of a foreign class.
    """
    return values.dumps(state, what="state")


def _as_annotated(set_state: Any, value: Any) -> Any:
    annotation = _annotation(set_state)
    if annotation is Any:
        return value
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    if inspect.isclass(annotation) and issubclass(annotation, Model):  # it reads bytes from text as it wrote them
        return adapter.validate_json(values.dumps(value))
    return adapter.validate_python(value)


def _annotation(set_state: Any) -> Any:
    """Return what the first parameter of `set_state` is annotated with; Any if it is not, or not by a type."""
    parameters = list(inspect.signature(set_state).parameters)
    try:
        hints = typing.get_type_hints(set_state, include_extras=True)
    except Exception:  # an annotation only a type checker can resolve is no annotation to us
        return Any
    return hints.get(parameters[0], Any) if parameters else Any
