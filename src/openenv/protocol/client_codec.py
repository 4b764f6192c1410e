"""Between bytes and typed objects, for the types of one client class: actions out, results in.

A reply is validated once, by pydantic's Rust core, from the text straight into the typed object.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from openenv import values
from openenv.errors import InvalidReplyError, InvalidRequestError, RequestError
from openenv.models import Action, Observation, StepResult
from openenv.outcomes import Outcome
from openenv.protocol import messages as m
from openenv.protocol.encoding import BESIDE_OBSERVATION, dump_model, nulls_non_finite
from openenv.protocol.unions import needs_tag, wire_type

if TYPE_CHECKING:
    from openenv.protocol import envelopes
    from openenv.protocol.formats import Incoming

T = TypeVar("T")

BARE = {"metadata"}
"""What is left out of an action where it is empty, for servers that do not know it."""


class Packer(Protocol):
    """What of a format the client's codec needs."""

    binary: bool

    def pack(self, value: Any, what: str) -> bytes:
        """Encode plain values, bytes and arrays."""


def _holds_binary(schema: Any) -> bool:
    """Return whether a type has a field of bytes or an array."""
    if isinstance(schema, list | tuple):
        return any(map(_holds_binary, schema))
    if not isinstance(schema, dict):
        return False
    if schema.get("type") == "bytes" or values.is_array_schema(schema):
        return True
    return any(_holds_binary(value) for key, value in schema.items() if key not in ("metadata", "cls", "config"))


class ClientCodec:
    """Encodes requests for, and decodes replies of, one client class.

    Args:
        action: The action class, or a union of several.
        observation: The observation class or union.
        state: The state class.

    Attributes:
        action: The action class or union.
        observation: The observation class or union.
        binary: Whether actions or observations hold bytes or arrays, which MessagePack carries as they are.
    """

    def __init__(self, action: Any, observation: Any, state: Any) -> None:
        self.action, self.observation = action, observation
        self._tags: dict[type, bytes] = {}
        self._plain_dumps: dict[type, Callable[..., bytes] | None] = {}
        observation_type, state_type = wire_type(observation), wire_type(state)
        self._result: TypeAdapter[Any] = _reply(m.WSObservationResponse[observation_type])  # type: ignore[valid-type]
        self._state: TypeAdapter[Any] = _reply(m.WSStateResponse[state_type])  # type: ignore[valid-type]
        self._result_data: TypeAdapter[m.ResultData[Any]] = TypeAdapter(
            m.ResultData[observation_type]  # type: ignore[valid-type]
        )
        self._state_data: TypeAdapter[Any] = TypeAdapter(state_type)
        is_plain = isinstance(observation_type, type) and issubclass(observation_type, Observation)
        self._observed = TypeAdapter(observation_type).validator if is_plain else None
        self.binary = any(_holds_binary(TypeAdapter(wire_type(t)).core_schema) for t in (action, observation))

    def payload(self, action: Any) -> dict[str, Any]:
        """Return the dictionary that `data` of a step frame holds for an action.

        Raises:
            InvalidRequestError: It is neither a model nor a mapping.
        """
        if isinstance(action, BaseModel):
            return values.loads(self.payload_json(action))  # type: ignore[no-any-return]
        try:
            return dict(action)
        except (TypeError, ValueError) as error:
            raise InvalidRequestError(
                f"An action is a model or a dictionary, not {type(action).__name__}"
            ) from error

    def payload_json(self, action: Any) -> bytes:
        """Return the JSON of an action. Empty `metadata` is left out, for servers that do not know it."""
        if not isinstance(action, BaseModel):
            return values.dumps(self.payload(action), what="action")
        bare = BARE if getattr(action, "metadata", None) == {} else None
        raw = dump_model(action, exclude=bare, what="action")
        tag = self._tag(type(action))
        return tag + (b"}" if raw == b"{}" else b"," + raw[1:]) if tag else raw

    def plain_dump(self, cls: type[Any]) -> Callable[..., bytes] | None:
        """Return the serialiser of a class of actions, where what it writes is all there is to their payload."""
        try:
            return self._plain_dumps[cls]
        except KeyError:
            plain = issubclass(cls, Action) and not self._tag(cls) and not nulls_non_finite(cls)
            dump = self._plain_dumps[cls] = cls.__pydantic_serializer__.to_json if plain else None
            return dump

    def _tag(self, cls: type) -> bytes:
        """Return the beginning of the payload of a class that must say which member of the union it is."""
        tag = self._tags.get(cls)
        if tag is None:
            tag = b'{"type":"%s"' % cls.__name__.encode() if needs_tag(cls, self.action) else b""
            self._tags[cls] = tag
        return tag

    def pack_action(self, action: Any, form: Packer) -> bytes:
        """Return an action in the given format."""
        if form.binary:
            return form.pack(self.payload_tree(action), "action")
        dump = self.plain_dump(type(action))
        if dump is not None:
            try:
                raw = dump(action, exclude=None if action.metadata else BARE, fallback=values.fallback)
            except Exception:  # whatever a custom serialiser raises; `payload_json` says what
                return self.payload_json(action)
            if not values.may_be_non_finite(raw):
                return raw
        return self.payload_json(action)

    def payload_tree(self, action: Any) -> dict[str, Any]:
        """Return the fields of an action as plain values, arrays and bytes."""
        if not isinstance(action, BaseModel):
            return self.payload(action)
        tree = action.model_dump()
        if tree.get("metadata") == {}:
            del tree["metadata"]
        return {"type": type(action).__name__, **tree} if needs_tag(type(action), self.action) else tree

    def answer(self, frame: Incoming) -> StepResult[Any]:
        """Return the result that a reply stands for; raises like `result`."""
        if frame.body is not None and frame.kind == "observation" and self._observed is not None:
            try:
                data = self._plain_result(frame.body)
                observation = self._observed.validate_json(bytes(data.observation))
            except Exception:  # it has more to it, or is wrong
                return self.result(frame.raw)
            return plain_result(observation, data.reward, data.done)
        return self.result(frame.raw)

    @cached_property
    def _plain_result(self) -> Callable[[Any], envelopes.Result]:
        from openenv.protocol import envelopes  # not before a client connects: it takes a while

        return envelopes.result

    def result(self, raw: bytes | dict[str, Any]) -> StepResult[Any]:
        """Return the result that a reply frame holds.

        Raises:
            RequestError: The reply is an error.
            InvalidReplyError: It is not a reply of these types.
        """
        return step_result(self._answer(self._result, raw))

    def state(self, raw: bytes | dict[str, Any]) -> Any:
        """Return the state that a reply frame holds; raises like `result`."""
        return self._answer(self._state, raw)

    def parse_result(self, data: dict[str, Any]) -> StepResult[Any]:
        """Return the result that the `data` of an observation frame stands for."""
        raw = values.dumps(data, what="reply")
        return step_result(_valid_reply(lambda: self._result_data.validate_json(raw)))

    def parse_state(self, data: dict[str, Any]) -> Any:
        """Return the state that the `data` of a state frame stands for."""
        raw = values.dumps(data, what="reply")
        return _valid_reply(lambda: self._state_data.validate_json(raw))

    @staticmethod
    def _answer(adapter: TypeAdapter[Any], raw: bytes | dict[str, Any]) -> Any:
        try:
            validator = adapter.validator
            reply: Any = validator.validate_json(raw) if type(raw) is bytes else validator.validate_python(raw)
        except ValueError as error:
            raise _misfit(error) from error
        if type(reply) is m.WSErrorResponse:
            raise RequestError.from_wire(reply.data.model_dump(exclude_none=True))
        return reply.data


def reply_data(raw: bytes | dict[str, Any]) -> dict[str, Any]:
    """Return the `data` of a reply frame as plain values, for a client that parses it itself.

    Raises:
        RequestError: The reply is an error.
        InvalidReplyError: It is not a reply at all.
    """
    reply = _valid_reply(lambda: values.loads(raw)) if isinstance(raw, bytes) else raw
    if not isinstance(reply, dict) or "type" not in reply:
        raise InvalidReplyError(f"The server answered with something that is no message: {str(raw)[:200]}")
    data = reply.get("data")
    if reply["type"] == "error":
        raise RequestError.from_wire(data)
    return data if isinstance(data, dict) else {}


def _reply(expected: Any) -> TypeAdapter[Any]:
    return TypeAdapter(Annotated[expected | m.WSErrorResponse, Field(discriminator="type")])


def _valid_reply(read: Callable[[], T]) -> T:
    try:
        return read()
    except ValueError as error:
        raise _misfit(error) from error


def _misfit(error: ValueError) -> InvalidReplyError:
    """Return the error for a reply that is not of the types of this client."""
    found = (
        error.errors(include_url=False, include_context=False, include_input=False)
        if isinstance(error, ValidationError)
        else []
    )
    where = ".".join(map(str, found[0]["loc"])) if found else ""
    why = f"{where}: {found[0]['msg']}" if found else str(error)
    return InvalidReplyError(
        f"The server's answer does not fit this client's types ({why}); "
        "are client and server of the same version of the environment?"
    )


def plain_result(observation: Observation, reward: bool | float | None, done: bool) -> StepResult[Any]:
    """Return the trainer's view of a reply that has nothing but these three."""
    fields = observation.__dict__  # as `_told` does
    fields["reward"], fields["done"] = reward, done
    observation.__pydantic_fields_set__.update(BESIDE_OBSERVATION)
    return StepResult.make(observation, reward, done, False, None, fields["metadata"])


def _told(observation: Observation, reward: Any, done: bool) -> dict[str, Any]:
    """Put reward and done, which travel beside an observation, into it, and return its metadata."""
    fields = observation.__dict__  # validated already, as part of the reply
    fields["reward"], fields["done"] = reward, done
    observation.__pydantic_fields_set__.update(BESIDE_OBSERVATION)
    return fields["metadata"]  # type: ignore[no-any-return]


def step_result(data: m.ResultData[Any]) -> StepResult[Any]:
    """Return the trainer's view of a reply; reward and done are put into a typed observation as well."""
    observation = data.observation
    metadata: dict[str, Any] | None
    if isinstance(observation, Observation):
        told = _told(observation, data.reward, data.done)
        metadata = data.metadata or told
    elif isinstance(observation, BaseModel):
        fields = type(observation).__pydantic_fields__
        for name, value in (("reward", data.reward), ("done", data.done)):
            if name in fields:
                observation.__dict__[name] = value  # validated already, as part of the reply
                observation.__pydantic_fields_set__.add(name)
        metadata = data.metadata or getattr(observation, "metadata", None)
    else:
        metadata = data.metadata or (observation.get("metadata") if isinstance(observation, dict) else None)
    if data.outcome is None and not data.terminated:
        return StepResult.make(observation, data.reward, data.done, data.truncated, data.info, metadata)
    try:
        return StepResult(
            observation,
            data.reward,
            data.done,
            terminated=data.terminated,
            truncated=data.truncated,
            outcome=Outcome(*vars(data.outcome).values()) if data.outcome is not None else None,
            info=data.info,
            metadata=metadata,
        )
    except ValueError as error:
        raise InvalidReplyError(f"The server's answer contradicts itself. {values.reason(error)}") from error
