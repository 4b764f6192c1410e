"""Between bytes and typed objects, for the types of one environment.

`ServerCodec` and `ClientCodec` are built once, when an environment is wrapped or a client made. A message is
validated once, by pydantic's Rust core, from the text straight into the typed object; a result is serialised
once, and the few fields beside the observation are put around it as text.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from typing import TYPE_CHECKING, Annotated, Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import ErrorDetails, core_schema, to_json

from openenv import values
from openenv.errors import InvalidReplyError, InvalidRequestError, RequestError, SerializationError
from openenv.models import Observation, State, StepResult
from openenv.outcomes import Outcome
from openenv.protocol import messages as m
from openenv.protocol.unions import needs_tag, wire_type

if TYPE_CHECKING:
    from openenv.protocol import envelopes
    from openenv.protocol.formats import Incoming

T = TypeVar("T")

_BESIDE_OBSERVATION = {"done", "reward"}
_METADATA = {"metadata"}


class _Decoder(Generic[T]):
    """Validates JSON text as one type and turns every failure into one error."""

    def __init__(self, annotation: Any) -> None:
        self.adapter: TypeAdapter[T] = TypeAdapter(annotation)

    def __call__(self, raw: bytes | str) -> T:
        try:
            message: T = self.adapter.validator.validate_json(raw)
        except ValidationError as error:
            raise invalid(error) from None
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
    """

    def __init__(self, action: Any, observation: Any, state: Any = State, reset_observation: Any = None) -> None:
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
        self.decode: _Decoder[Any] = _Decoder(Annotated[frames, Field(discriminator="type")])
        self.decode_reset: _Decoder[m.ResetRequest] = _Decoder(m.ResetRequest)
        self.decode_step: _Decoder[m.StepRequest[Any]] = _Decoder(m.StepRequest[wire])  # type: ignore[valid-type]

    def schema(self) -> m.SchemaResponse:
        """Return the JSON Schemas of all types."""
        return m.SchemaResponse(
            action=json_schema(self.action),
            observation=json_schema(self.observation),
            state=json_schema(self.state),
            reset_observation=json_schema(self.reset_observation),
        )


class _LenientSchema(GenerateJsonSchema):
    """Describes a field of a foreign class as "anything" instead of failing the whole schema."""

    def handle_invalid_for_json_schema(self, schema: core_schema.CoreSchema, error_info: str) -> JsonSchemaValue:
        return {}


def json_schema(annotation: Any) -> dict[str, Any]:
    """Return the JSON Schema of a class or union, as a sender has to write it."""
    return TypeAdapter(wire_type(annotation)).json_schema(schema_generator=_LenientSchema)


def inline_schema(model: type[BaseModel], **fields: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a model with the schemas of some fields given."""
    schema = model.model_json_schema(schema_generator=_LenientSchema)
    definitions = schema.pop("$defs", {})
    for name, given in fields.items():
        given = dict(given)
        definitions |= given.pop("$defs", {})
        schema["properties"][name] = given
    # An OpenAPI document has no place for definitions inside a body's schema, so they are put in line.
    return _resolve(schema, definitions)  # type: ignore[no-any-return]


def _resolve(node: Any, definitions: dict[str, Any], within: tuple[str, ...] = ()) -> Any:
    if isinstance(node, list):
        return [_resolve(item, definitions, within) for item in node]
    if not isinstance(node, dict):
        return node
    name = str(node.get("$ref", "")).removeprefix("#/$defs/")
    if name in definitions:
        if name in within:  # a recursive model: stop at the second turn
            return {"type": "object", "title": name}
        return _resolve(definitions[name], definitions, (*within, name))
    return {
        key: _resolve(item, definitions, within)
        for key, item in node.items()
        if key not in ("$defs", "discriminator")
    }


# --- replies ------------------------------------------------------------------------------------


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
    parts = [b'{"observation":', body, b',"reward":', to_json(result.reward), b',"done":']
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
    graded = b"null" if reward is None else repr(reward).encode() if type(reward) is float else to_json(reward)
    end = b"true" if done else b"false"
    return b'{"observation":%s,"reward":%s,"done":%s}' % (observation, graded, end)


def plain_observation(observation: Observation) -> bytes | None:
    """Return what `encode_result` does for an observation with nothing unusual about it; None for any other.

    The point is what it leaves out.
    """
    try:
        dump, nulls_non_finite = _dumping(type(observation))
        fields = observation.__dict__
        if nulls_non_finite or fields["metadata"]:
            return None
        body = dump(observation, exclude=_BESIDE_OBSERVATION, fallback=values.fallback)
    except BaseException:  # whatever a serialiser of its author raises; `encode_result` says what
        return None
    if b"NaN" in body or b"Infinity" in body:
        return None
    return _plain_result(body, fields["reward"], fields["done"])


def result_data(result: StepResult[Any]) -> dict[str, Any]:
    """Return the same as plain values, arrays and bytes."""
    observation = result.observation
    if isinstance(observation, BaseModel):
        observation = observation.model_dump(exclude=_BESIDE_OBSERVATION)
    data = {"observation": observation, "reward": result.reward, "done": result.done}
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
    return dump_model(observation, exclude=_BESIDE_OBSERVATION, what="observation")


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
    return cls.__pydantic_serializer__.to_json, _nulls_non_finite(cls)


@cache
def _nulls_non_finite(cls: type[BaseModel]) -> bool:
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
    except Exception:  # a lone surrogate, a `repr` that raises
        return to_json(_printable(value), inf_nan_mode="strings")


def _printable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_printable(str(key)): _printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text.encode("utf-8", errors="backslashreplace").decode()


# --- the other side -----------------------------------------------------------------------------


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
        bare = _METADATA if getattr(action, "metadata", None) == {} else None
        raw = dump_model(action, exclude=bare, what="action")
        tag = self._tags.get(type(action))
        if tag is None:
            tag = self._tag(type(action))
        return tag + (b"}" if raw == b"{}" else b"," + raw[1:]) if tag else raw

    def is_plain(self, cls: type[BaseModel]) -> bool:
        """Return whether what the serialiser of a class of actions writes is all there is to its payload."""
        return not self._tag(cls) and not _nulls_non_finite(cls)

    def _tag(self, cls: type) -> bytes:
        """Return the beginning of the payload of a class that must say which member of the union it is."""
        tag = self._tags.get(cls)
        if tag is None:
            tag = b'{"type":"%s"' % cls.__name__.encode() if needs_tag(cls, self.action) else b""
            self._tags[cls] = tag
        return tag

    def pack_action(self, action: Any, form: Packer) -> bytes:
        """Return an action in the given format."""
        if not form.binary:
            return self.payload_json(action)
        return form.pack(self.payload_tree(action), "action")

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
    return StepResult.make(observation, reward, done, metadata=_told(observation, reward, done))


def _told(observation: Observation, reward: Any, done: bool) -> dict[str, Any]:
    """Put reward and done, which travel beside an observation, into it, and return its metadata."""
    fields = observation.__dict__  # validated already, as part of the reply
    fields["reward"], fields["done"] = reward, done
    observation.__pydantic_fields_set__.update(_BESIDE_OBSERVATION)
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
