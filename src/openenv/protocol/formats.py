"""The two encodings of wire version 2: JSON in text frames, MessagePack in binary frames.

The data of a message is encoded by whoever has it, and the frame is put around it without looking inside. In
MessagePack an array is an extension of type 1 that holds the MessagePack list `[dtype, shape, C-order buffer]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel
from typing_extensions import Buffer

from openenv import values
from openenv.errors import InvalidReplyError, RequestError, SerializationError
from openenv.models import StepResult
from openenv.protocol import encoding
from openenv.protocol.v2 import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK

if TYPE_CHECKING:
    from openenv.protocol import envelopes

ARRAY_EXTENSION = 1


class Incoming:
    """A frame from the server.

    Attributes:
        id: Of the request it answers; None for a notice.
        kind: Its type.
        raw: The frame: JSON text, or the decoded object of a MessagePack frame.
        body: The text of its data, where it has been found already.
    """

    __slots__ = ("_data", "body", "id", "kind", "raw")

    def __init__(
        self,
        id_: int | None,
        kind: str,
        raw: bytes | dict[str, Any],
        body: Buffer | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        self.id = id_
        self.kind = kind
        self.raw = raw
        self.body = body
        self._data = data

    @property
    def data(self) -> dict[str, Any]:
        """The whole frame as plain values.

        Raises:
            InvalidReplyError: There is something in its data that has no meaning.
        """
        if self._data is None:
            self._data = self.raw if isinstance(self.raw, dict) else _parsed(self.raw, values.loads)
        return self._data


class Format(Protocol):
    """How frames are encoded."""

    subprotocol: str
    binary: bool

    def encode(self, message: Mapping[str, Any]) -> bytes:
        """Return a frame of plain values."""

    def request(
        self,
        number: int,
        verb: str,
        session: str,
        seq: int | None = None,
        data: bytes | None = None,
        timeout_s: float | None = None,
    ) -> bytes:
        """Return a request frame around encoded data."""

    def batch(self, number: int, verb: str, items: Iterable[tuple[str, int, bytes]]) -> bytes:
        """Return a request frame around the session, number and encoded data of each item."""

    def answer(self, number: int, kind: str, session: str, seq: int, data: bytes) -> bytes:
        """Return an answer frame around encoded data; `seq` 0 is left out."""

    def item(self, session: str, seq: int, key: str, data: bytes) -> bytes:
        """Return one item of a batch's answer around encoded data."""

    def data_items(self, answers: Iterable[tuple[str, int, bytes]]) -> list[bytes]:
        """Return items of a batch's answer around the session, number and encoded data of each."""

    def items(self, number: int, items: list[bytes], last: bool) -> bytes:
        """Return the frame of a batch's answer around encoded items."""

    def read(self, raw: bytes) -> Incoming:
        """Look at a frame from the server.

        Raises:
            InvalidReplyError: It is not a frame.
        """

    def pack(self, value: Any, what: str) -> bytes:
        """Encode data: plain values, bytes, arrays.

        Raises:
            SerializationError: A value has no form on the wire.
        """

    def pack_result(self, result: StepResult[Any]) -> bytes:
        """Encode a result as `ResultData`; raises like `pack`."""

    def pack_state(self, state: Any) -> bytes:
        """Encode a state; raises like `pack`."""

    def pack_error(self, error: RequestError) -> bytes:
        """Encode an error as `ErrorData`. Never fails."""


class _Names(dict[str, bytes]):
    """How the names of sessions stand between quotes."""

    def __missing__(self, session: str) -> bytes:
        name = values.dumps(session)[1:-1]
        if len(session) <= _SHORT:
            if len(self) >= _MOST:
                self.clear()
            self[session] = name
        return name


_SHORT, _MOST = 64, 1 << 16  # no name of ours is longer; those of others are not to fill the memory
_names = _Names()


class _Json:
    subprotocol = SUBPROTOCOL_JSON
    binary = False

    def encode(self, message: Mapping[str, Any]) -> bytes:
        return values.dumps(dict(message), what="message")

    def request(
        self,
        number: int,
        verb: str,
        session: str,
        seq: int | None = None,
        data: bytes | None = None,
        timeout_s: float | None = None,
    ) -> bytes:
        if data is not None and seq is not None and timeout_s is None:
            return b'{"id":%d,"type":"%b","session":"%b","seq":%d,"data":%b}' % (
                number,
                verb.encode(),
                _names[session],
                seq,
                data,
            )
        head = b'{"id":%d,"type":"%s","session":"%s"' % (number, verb.encode(), _names[session])
        if seq is not None:
            head += b',"seq":%d' % seq
        if timeout_s is not None:
            head += b',"timeout_s":%r' % timeout_s
        return head + b"}" if data is None else head + b',"data":' + data + b"}"

    def batch(self, number: int, verb: str, items: Iterable[tuple[str, int, bytes]]) -> bytes:
        return b'{"id":%d,"type":"%b","items":[%b]}' % (number, verb.encode(), b",".join(self.data_items(items)))

    def answer(self, number: int, kind: str, session: str, seq: int, data: bytes) -> bytes:
        head = b'{"id":%d,"type":"%b","session":"%b"' % (number, kind.encode(), _names[session])
        return head + b',"seq":%d,"data":%b}' % (seq, data) if seq else head + b',"data":%b}' % data

    def item(self, session: str, seq: int, key: str, data: bytes) -> bytes:
        return b'{"session":"%s","seq":%d,"%s":%s}' % (_names[session], seq, key.encode(), data)

    def data_items(self, answers: Iterable[tuple[str, int, bytes]]) -> list[bytes]:
        return [b'{"session":"%b","seq":%d,"data":%b}' % (_names[name], seq, data) for name, seq, data in answers]

    def items(self, number: int, items: list[bytes], last: bool) -> bytes:
        end = b"true" if last else b"false"
        return b'{"id":%d,"type":"observations","items":[%s],"last":%s}' % (number, b",".join(items), end)

    def read(self, raw: bytes) -> Incoming:
        try:
            frame = self._envelope(raw)
        except ValueError:
            return _read(raw, values.loads)
        return Incoming(frame.id, frame.kind, raw, frame.data)

    @cached_property
    def _envelope(self) -> Callable[[bytes], envelopes.Answer]:
        from openenv.protocol import envelopes  # not before a client connects: it takes a while

        return envelopes.answer

    def pack(self, value: Any, what: str) -> bytes:
        return values.dumps(value, what=what)

    pack_result = staticmethod(encoding.encode_result)
    pack_state = staticmethod(encoding.encode_state)
    pack_error = staticmethod(encoding.encode_error)


class _MessagePack:
    subprotocol = SUBPROTOCOL_MSGPACK
    binary = True

    def encode(self, message: Mapping[str, Any]) -> bytes:
        import msgspec

        return msgspec.msgpack.encode(dict(message), enc_hook=_to_extension)

    def request(
        self,
        number: int,
        verb: str,
        session: str,
        seq: int | None = None,
        data: bytes | None = None,
        timeout_s: float | None = None,
    ) -> bytes:
        import msgspec

        message: dict[str, Any] = {"id": number, "type": verb, "session": session}
        if seq is not None:
            message["seq"] = seq
        if timeout_s is not None:
            message["timeout_s"] = timeout_s
        if data is not None:
            message["data"] = msgspec.Raw(data)
        return msgspec.msgpack.encode(message)

    def batch(self, number: int, verb: str, items: Iterable[tuple[str, int, bytes]]) -> bytes:
        import msgspec

        parts = [{"session": name, "seq": seq, "data": msgspec.Raw(data)} for name, seq, data in items]
        return msgspec.msgpack.encode({"id": number, "type": verb, "items": parts})

    def answer(self, number: int, kind: str, session: str, seq: int, data: bytes) -> bytes:
        import msgspec

        message = {"id": number, "type": kind, "session": session, "seq": seq, "data": msgspec.Raw(data)}
        if not seq:
            del message["seq"]
        return msgspec.msgpack.encode(message)

    def item(self, session: str, seq: int, key: str, data: bytes) -> bytes:
        import msgspec

        return msgspec.msgpack.encode({"session": session, "seq": seq, key: msgspec.Raw(data)})

    def data_items(self, answers: Iterable[tuple[str, int, bytes]]) -> list[bytes]:
        return [self.item(session, seq, "data", data) for session, seq, data in answers]

    def items(self, number: int, items: list[bytes], last: bool) -> bytes:
        import msgspec

        raw = [msgspec.Raw(item) for item in items]
        return msgspec.msgpack.encode({"id": number, "type": "observations", "items": raw, "last": last})

    def read(self, raw: bytes) -> Incoming:
        message = _read(raw, unpack)
        return Incoming(message.id, message.kind, message.data)

    def pack(self, value: Any, what: str) -> bytes:
        import msgspec

        values.refuse_non_finite_tree(value, what=what)
        try:
            return msgspec.msgpack.encode(value, enc_hook=_to_extension)
        except Exception as error:  # whatever a value's own methods raise
            raise SerializationError(f"The {what} cannot be serialised: {values.reason(error)}") from error

    def pack_result(self, result: StepResult[Any]) -> bytes:
        return self.pack(encoding.result_data(result), "observation")

    def pack_state(self, state: Any) -> bytes:
        return self.pack(state.model_dump() if isinstance(state, BaseModel) else state, "state")

    def pack_error(self, error: RequestError) -> bytes:
        return self.pack(values.loads(encoding.encode_error(error)), "error")


JSON: Format = _Json()
MSGPACK: Format = _MessagePack()
FORMATS = {format_.subprotocol: format_ for format_ in (JSON, MSGPACK)}


def unpack(raw: bytes) -> Any:
    """Return the plain values, bytes and arrays of a MessagePack text.

    Raises:
        ValueError: It is not MessagePack, or an extension in it is unknown or malformed.
    """
    import msgspec

    try:
        return msgspec.msgpack.decode(raw, ext_hook=_from_extension)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _parsed(raw: bytes, parse: Callable[[bytes], Any]) -> dict[str, Any]:
    try:
        message = parse(raw)
    except ValueError as error:
        raise _no_message(raw) from error
    if not isinstance(message, dict) or "type" not in message:
        raise _no_message(raw)
    return message


def _no_message(raw: bytes) -> InvalidReplyError:
    return InvalidReplyError(f"The server sent something that is no message: {raw[:200]!r}")


def _read(raw: bytes, parse: Callable[[bytes], Any]) -> Incoming:
    message = _parsed(raw, parse)
    number, kind = message.get("id"), message["type"]
    return Incoming(number if isinstance(number, int) else None, str(kind), raw, data=message)


def _to_extension(value: Any) -> Any:
    import msgspec

    if values.is_array(value):
        if value.dtype.hasobject or value.dtype.names:
            raise ValueError(f"an array of dtype {value.dtype} has no wire form; use a numeric dtype")
        plain = (value.dtype.str, value.shape, value.tobytes())
        return msgspec.msgpack.Ext(ARRAY_EXTENSION, msgspec.msgpack.encode(plain))
    if hasattr(value, "model_dump"):
        return value.model_dump()
    return values.fallback(value)


def _from_extension(code: int, data: memoryview) -> Any:
    import msgspec

    if code != ARRAY_EXTENSION:
        raise ValueError(f"unknown extension type {code}")
    dtype, shape, buffer = msgspec.msgpack.decode(data, type=tuple[str, tuple[int, ...], bytearray])
    return values.array_from_buffer(buffer, dtype, shape)
