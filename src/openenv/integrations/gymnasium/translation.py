"""Between an environment's typed messages and the elements of Gymnasium's spaces.

What a trainer sees of an observation, and what its action is a field of, is chosen by name or by a function. The
space follows from the JSON Schema; where that leaves it open, such as a list of numbers of any length, from the
first observation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import Space, spaces
from gymnasium.vector.utils import batch_space, create_empty_array, iterate

from openenv.errors import ConfigurationError
from openenv.integrations.gymnasium.fields import (
    Part,
    Schema,
    batched,
    exactly,
    is_numeric,
    object_of,
    part_of,
    read,
    space_like,
)
from openenv.integrations.gymnasium.spaces import space_of
from openenv.protocol.messages import SchemaResponse
from openenv.rollouts import only_field

First = Callable[[], Any]
"""Returns an observation that an episode begins with."""

_FEW = 10_000
_BESIDE = ("done", "reward", "metadata")


@dataclass(frozen=True)
class Chosen:
    """What of an environment a trainer sees and does; all of it can be left to the schemas.

    Attributes:
        observation: Name of a field, or a function of the whole observation.
        action: Name of a field, or a function that makes the whole action of an element of the action space.
        observation_space: The space of what is seen.
        action_space: The space of what is done.
        legal_actions: Name of the observation's field that lists the legal actions, for a mask where the action is
            a field.
    """

    observation: str | Callable[[Any], Any] | None = None
    action: str | Callable[[Any], Any] | None = None
    observation_space: Space[Any] | None = None
    action_space: Space[Any] | None = None
    legal_actions: str | None = "legal_actions"


# --- what is seen ----------------------------------------------------------------------------------------


class Seeing:
    """Makes elements of the observation space.

    Args:
        chosen: What is to be seen.
        schema: The JSON Schema of observations.
        first: Returns an observation that an episode begins with, if that has to be looked at.

    Attributes:
        space: The observation space.
        names: The fields that are read and are plain; None if others are, or all.

    Raises:
        ConfigurationError: No space has what is to be seen.
    """

    def __init__(self, chosen: Chosen, schema: Schema, first: First) -> None:
        parts: dict[str, Part] = {}
        self._get: Callable[[Any, str], Any] = read
        if callable(chosen.observation):
            look = chosen.observation
            self._get = lambda observation, _name: look(observation)
            parts[""] = _given(chosen.observation_space, lambda: look(first()))
        elif name := chosen.observation or _told(schema, "observation"):
            parts[name] = _seen(chosen.observation_space, name, _property(schema, name), schema, first)
        else:
            parts = _all_seen(schema, chosen.legal_actions)
        self._parts = parts
        self._alone = next(iter(parts)) if len(parts) == 1 else None
        self.space = (
            spaces.Dict({name: part.space for name, part in parts.items()})
            if self._alone is None
            else parts[self._alone].space
        )
        readable = not callable(chosen.observation) and all(part.plain for part in parts.values())
        self.names = tuple(parts) if readable else None

    def one(self, observation: Any) -> Any:
        """Return the element that an observation is seen as.

        Raises:
            ValueError: It does not fit into the space.
        """
        elements = {name: part.take(self._get(observation, name)) for name, part in self._parts.items()}
        return elements if self._alone is None else elements[self._alone]

    def many(self, observations: list[Any]) -> Any:
        """Return the batch of the elements that observations are seen as.

        Raises:
            ValueError: One does not fit into the space.
        """
        batches = {
            name: _stacked(part, [self._get(observation, name) for observation in observations])
            for name, part in self._parts.items()
        }
        return batches if self._alone is None else batches[self._alone]

    def nothing(self) -> Any:
        """Return an element of zeros, for an environment that has shown nothing yet."""
        return next(iter(iterate(batch_space(self.space, 1), create_empty_array(self.space, 1))))

    def batch(self, elements: list[Any]) -> Any:
        """Return a batch of elements."""
        return batched(self.space, elements)


def _stacked(part: Part, values: list[Any]) -> Any:
    if part.plain:
        batch = np.array(values, part.space.dtype)
        if batch.shape != (len(values), *(part.space.shape or ())):
            raise ValueError(f"Observations of shape {list(batch.shape[1:])} do not fit into {part.space}")
        return batch
    return batched(part.space, [part.take(value) for value in values])


def _all_seen(schema: Schema, legal_actions: str | None) -> dict[str, Part]:
    """Return the parts of an observation of which nothing was said."""
    parts = {}
    for name, field in schema.get("properties", {}).items():
        if name in _BESIDE or name == legal_actions:
            continue
        try:
            parts[name] = part_of(field, schema)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"There is no space for {name!r} of the observation ({error}); say what is to be seen: "
                "observation='field', or a function of the observation"
            ) from None
    if not parts:
        raise ConfigurationError("The observation has no fields; say what is to be seen: observation=function")
    return parts


def _seen(space: Space[Any] | None, name: str, field: Schema, schema: Schema, first: First) -> Part:
    """Return the part of one field that was named."""
    if space is not None:
        return exactly(space, plain=is_numeric(field))
    try:
        part = part_of(field, schema)
    except ConfigurationError:
        part = None
    if part is not None and not isinstance(part.space, spaces.Sequence):
        return part
    seen = first()
    told = read(seen, "observation_space") if _told(schema, "observation") == name else None
    if told is not None:
        return exactly(space_of(told))
    return exactly(space_like(read(seen, name)), plain=is_numeric(field))


def _given(space: Space[Any] | None, look: First) -> Part:
    return exactly(space_like(look()) if space is None else space)


# --- what is done ----------------------------------------------------------------------------------------


class Doing:
    """Makes actions of elements of the action space.

    Args:
        chosen: What is to be done.
        schemas: Those of the environment.
        first: Returns an observation that an episode begins with, if that has to be looked at.

    Attributes:
        space: The action space.
        action: Makes the action of an element.
        few: Elements of the action space, if they are numbers and not too many.
        index: The place of each action among them, if there are masks.
        legal: The observation's field that lists legal actions; None if it has none, or they cannot be counted.

    Raises:
        ConfigurationError: No space has the actions, or their space was not said.
    """

    def __init__(self, chosen: Chosen, schemas: SchemaResponse, first: First) -> None:
        schema = schemas.action
        self.index: dict[Any, int] = {}
        self.action: Callable[[Any], Any]
        if callable(chosen.action):
            if chosen.action_space is None:
                raise ConfigurationError("An action function needs an action_space, too")
            part = exactly(chosen.action_space)
            self.action = chosen.action
        elif name := chosen.action or _only(schema):
            part = _done(chosen.action_space, name, _property(schema, name), schema, first)
            self.action = lambda element: {name: part.send(element)}
        else:
            part = object_of(schema, schema.get("required", ()), schema)
            self.action = part.send
        self.space = part.space
        self.few: Sequence[int] = ()
        self._latest: tuple[list[Any], np.ndarray[Any, Any]] = [], np.zeros((0, 0), bool)
        if isinstance(part.space, spaces.Discrete) and part.space.n <= _FEW:
            self.few = range(int(part.space.start), int(part.space.start + part.space.n))
        known = chosen.legal_actions in schemas.observation.get("properties", {})
        self.legal = chosen.legal_actions if known and self.few and not callable(chosen.action) else None
        if self.legal is not None:
            self.index = {part.send(number): place for place, number in enumerate(self.few)}

    def masked(self, observation: Any) -> np.ndarray[Any, Any] | None:
        """Return which elements of the action space an observation says are legal; None if it does not."""
        legal = read(observation, self.legal) if self.legal is not None else None
        return self.masks([legal])[0] if legal is not None else None

    def masks(self, legal: list[Any]) -> np.ndarray[Any, Any]:
        """Return a row for each list of legal actions; where none is legal, or known to be, all are."""
        before, same = self._latest
        if legal == before:  # as it is in most games, most of the time
            return same.copy()
        size, index = len(self.few), self.index
        masks = np.zeros((len(legal), size), bool)
        places: list[int] = []
        row = 0
        for actions in legal:
            places += [row + index[action] for action in actions or () if action in index] or range(row, row + size)
            row += size
        masks.ravel()[places] = True
        self._latest = legal, masks
        return masks.copy()


def _done(space: Space[Any] | None, name: str, field: Schema, schema: Schema, first: First) -> Part:
    """Return the part of the one field that is the action."""
    try:
        part = part_of(field, schema)
    except ConfigurationError:
        part = None
    if space is not None:
        return part if part is not None and part.space == space else exactly(space)
    if part is not None:
        return part
    told = None if field.get("type") else read(first(), "action_space")
    if told is None:
        raise ConfigurationError(
            f"The schema of {name!r} has no end to its values; say which there are: "
            "action_space=gymnasium.spaces.Discrete(n)"
        )
    return exactly(space_of(told))


def _only(schema: Schema) -> str | None:
    """Return the field that is the whole action, if there is one."""
    name, _ = only_field(schema)
    if name not in schema.get("properties", {}):  # none, or that of one of several actions
        name = None
    if name is None and not schema.get("required"):
        raise ConfigurationError("No one field is the action; say action='field', or action= and action_space=")
    return name


# --- the schema ------------------------------------------------------------------------------------------


def _told(schema: Schema, name: str) -> str | None:
    """Return the name if observations tell its space themselves, after a reset, as those of `gymnasium_env` do."""
    properties = schema.get("properties", {})
    return name if name in properties and f"{name}_space" in properties else None


def _property(schema: Schema, name: str) -> Schema:
    properties = schema.get("properties", {})
    if name not in properties:
        raise ConfigurationError(f"There is no field {name!r}; there are {', '.join(properties) or 'none'}")
    found: Schema = properties[name]
    return found


def translated(chosen: Chosen, schemas: SchemaResponse, first: First) -> tuple[Seeing, Doing]:
    """Return both ways for an environment.

    Args:
        chosen: What is to be seen and done.
        schemas: Those of the environment.
        first: Returns an observation that an episode begins with; called at most once.

    Raises:
        ConfigurationError: The spaces cannot be told.
    """
    kept: list[Any] = []

    def once() -> Any:
        if not kept:
            kept.append(first())
        return kept[0]

    return Seeing(chosen, schemas.observation, once), Doing(chosen, schemas, once)


def place(where: Any) -> dict[str, Any]:
    """Return the option of a client that says where its server is."""
    return {"base_url": where} if isinstance(where, str) else {"provider": where}
