"""Batches of version 2 for the types of one client: many actions in, many results out.

One pydantic call reads a whole frame, into plain dictionaries around typed observations. What it refuses, because
one item of many does not fit, is read again item by item, so that each gets an answer of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Generic, NotRequired, Required

from pydantic import ConfigDict, GetCoreSchemaHandler, TypeAdapter, with_config
from pydantic_core import CoreSchema
from typing_extensions import TypedDict

from openenv import values
from openenv.errors import InvalidReplyError, InvalidRequestError, RequestError
from openenv.models import Model, Observation, Reward, StepResult
from openenv.protocol import messages as m
from openenv.protocol.client_codec import BARE, ClientCodec, plain_result, reply_data, step_result
from openenv.protocol.formats import Format
from openenv.protocol.messages import ObservationT
from openenv.protocol.unions import wire_type

if TYPE_CHECKING:
    from openenv.protocol import envelopes

Result = StepResult[Any] | RequestError
"""What came of one item."""


class _WireForm:
    """Gives every array and every `Any` in a type that is no model its form on the wire."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return values.adapt(handler(source), handler.resolve_ref_schema)  # type: ignore[no-any-return]


_config = with_config(ConfigDict(**{**Model.model_config, "extra": "ignore"}))


# The fields of `ResultData`, `AnswerItem` and `Observations`, in a form that costs no object for each.
@_config
class _Data(TypedDict, Generic[ObservationT], total=False):
    observation: Required[ObservationT]
    reward: Reward
    done: bool
    terminated: bool
    truncated: bool
    outcome: m.OutcomeData | None
    info: dict[str, Any] | None
    metadata: dict[str, Any] | None


@_config
class _Item(TypedDict, Generic[ObservationT]):
    session: str
    data: NotRequired[_Data[ObservationT] | None]
    error: NotRequired[dict[str, Any] | None]


@_config
class _Answers(TypedDict, Generic[ObservationT]):
    items: list[_Item[ObservationT]]
    last: bool


class BatchCodec:
    """Encodes the actions, and decodes the answers, of batches.

    Args:
        codec: Knows the types.
        payload: The client's own way to a dictionary of an action, if it has one.
        parse: The client's own way to a result, if it has one.
    """

    def __init__(
        self,
        codec: ClientCodec,
        payload: Callable[[Any], dict[str, Any]] | None = None,
        parse: Callable[[dict[str, Any]], StepResult[Any]] | None = None,
    ) -> None:
        self._codec = codec
        self._payload = payload
        self._parse = parse
        observation = wire_type(codec.observation)
        answers: Any = _Answers[observation]  # type: ignore[valid-type]
        self._answers: TypeAdapter[_Answers[Any]] = TypeAdapter(Annotated[answers, _WireForm()])
        is_plain = isinstance(observation, type) and issubclass(observation, Observation)
        self._observations = TypeAdapter(list[observation]).validator if is_plain else None  # type: ignore[valid-type]

    # --- actions ---------------------------------------------------------------------------------

    def pack_steps(self, actions: Sequence[Any], form: Format) -> Sequence[bytes | RequestError]:
        """Return each action in the given format, or why it has none."""
        quickly = self._pack_models(actions) if self._payload is None and not form.binary else None
        return quickly if quickly is not None else [_packed(self._pack, action, form) for action in actions]

    def pack_resets(self, arguments: Sequence[Any], form: Format) -> Sequence[bytes | RequestError]:
        """Return the arguments of each reset in the given format, or why they have none."""
        return [_packed(_pack_arguments, given, form) for given in arguments]

    def _pack_models(self, actions: Sequence[Any]) -> list[bytes] | None:
        """Return the JSON of models of one class; None if it takes more than that, or one is wrong."""
        cls = type(actions[0])
        dump, fallback = self._codec.plain_dump(cls), values.fallback
        if dump is None or any(type(action) is not cls for action in actions):
            return None
        try:
            packed = [dump(a, exclude=None if a.metadata else BARE, fallback=fallback) for a in actions]
        except Exception:  # whatever a custom serialiser raises: one by one tells which
            return None
        return None if values.may_be_non_finite(b"".join(packed)) else packed

    def _pack(self, action: Any, form: Format) -> bytes:
        if self._payload is not None:
            return form.pack(self._payload(action), "action")
        return self._codec.pack_action(action, form)

    # --- answers ---------------------------------------------------------------------------------

    def read(self, raw: bytes | dict[str, Any]) -> tuple[list[tuple[str, Result]], bool]:
        """Return the session and the result of each item of an `observations` frame, and whether it is the last.

        Raises:
            InvalidReplyError: It is no such frame.
        """
        if self._parse is not None:
            return self._read_one_by_one(raw)
        plain = self._read_plain(raw) if isinstance(raw, bytes) else None
        if plain is not None:
            return plain
        adapter = self._answers
        try:
            frame = adapter.validate_json(raw) if isinstance(raw, bytes) else adapter.validate_python(raw)
        except Exception:  # one does not fit, or a validator of its author raises
            return self._read_one_by_one(raw)
        return [(item["session"], _result(item)) for item in frame["items"]], frame["last"]

    def _read_plain(self, raw: bytes) -> tuple[list[tuple[str, Result]], bool] | None:
        """Read a frame in which there is nothing but ordinary results; None if there is anything else."""
        if self._observations is None:
            return None
        try:
            frame = self._envelope(raw)
            told = [item.data for item in frame.items]
            observations = self._observations.validate_json(
                b"[%b]" % b",".join([data.observation for data in told])
            )
        except Exception:
            return None
        results: list[tuple[str, Result]] = [
            (item.session, plain_result(observation, data.reward, data.done))
            for item, observation, data in zip(frame.items, observations, told, strict=True)
        ]
        return results, frame.last

    @cached_property
    def _envelope(self) -> Callable[[bytes], envelopes.Results]:
        from openenv.protocol import envelopes  # not before a client connects: it takes a while

        return envelopes.results

    def _read_one_by_one(self, raw: bytes | dict[str, Any]) -> tuple[list[tuple[str, Result]], bool]:
        try:
            frame = values.loads(raw) if isinstance(raw, bytes) else raw
            items = [(str(item["session"]), item) for item in frame["items"]]
            last = bool(frame["last"])
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidReplyError(f"The server sent no batch of answers: {str(raw)[:200]}") from error
        return [(session, self._read_item(item)) for session, item in items], last

    def _read_item(self, item: dict[str, Any]) -> Result:
        if item.get("data") is None:
            return RequestError.from_wire(item.get("error") or {})
        return _parsed(self._parse or self._codec.parse_result, item["data"])

    def read_one(self, raw: bytes | dict[str, Any]) -> Result:
        """Return the result that a frame about one session holds."""
        if self._parse is None:
            return _parsed(self._codec.result, raw)
        parse = self._parse
        return _parsed(lambda frame: parse(reply_data(frame)), raw)


def _parsed(parse: Callable[[Any], StepResult[Any]], data: Any) -> Result:
    try:
        return parse(data)
    except RequestError as error:
        return error
    except Exception as error:  # whatever a client's own `_parse_result` raises
        return InvalidReplyError(f"The answer could not be parsed: {type(error).__name__}: {error}")


def _pack_arguments(given: Any, form: Format) -> bytes:
    return form.pack(given, "reset arguments")


def _packed(pack: Callable[[Any, Format], bytes], value: Any, form: Format) -> bytes | RequestError:
    try:
        return pack(value, form)
    except RequestError as error:
        return error
    except Exception as error:  # whatever a client's own `_step_payload` raises
        return InvalidRequestError(f"It could not be encoded: {type(error).__name__}: {error}")


def _result(item: _Item[Any]) -> Result:
    data = item.get("data")
    if data is None:
        return RequestError.from_wire(item.get("error") or {})
    observation = data["observation"]
    if len(data) == 3 and "reward" in data and "done" in data and isinstance(observation, Observation):
        return plain_result(observation, data["reward"], data["done"])
    return step_result(m.ResultData.model_construct(**data))
