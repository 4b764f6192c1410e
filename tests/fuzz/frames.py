"""What the decoders are fed with: any bytes at all, and frames that were right once.

A mutation knows a little of what it mutates: it puts in what parsers stumble over, and cuts at any byte.
"""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st
from pydantic import Field
from tests import strategies

from openenv.errors import SerializationError
from openenv.models import Action, Observation, State, StepResult
from openenv.protocol.client_codec import ClientCodec
from openenv.protocol.codec import ServerCodec
from openenv.protocol.codec_v2 import ServerCodecV2
from openenv.protocol.encoding import encode_result, encode_state, frame
from openenv.protocol.formats import JSON, MSGPACK, Format

SESSION = "0b7e"


class Deed(Action):
    """An action with a field of every kind."""

    amount: int = 1
    ratio: float | None = None
    note: str = ""
    blob: bytes = b""
    grid: np.ndarray | None = None
    tags: list[str] = Field(default_factory=list)
    more: dict[str, Any] = Field(default_factory=dict)
    anything: Any = None


class Sight(Observation):
    """An observation with the same."""

    total: int
    ratio: float | None = None
    note: str = ""
    blob: bytes = b""
    grid: np.ndarray | None = None
    more: dict[str, Any] = Field(default_factory=dict)
    anything: Any = None


class Standing(State):
    """A state of its own."""

    total: int = 0
    anything: Any = None


SERVER = ServerCodec(Deed, Sight, Standing)
SERVER_V2 = ServerCodecV2(Deed)
CLIENT = ClientCodec(Deed, Sight, Standing)
FORMATS = st.sampled_from([JSON, MSGPACK])

deeds = strategies.models(Deed)
sights = strategies.models(Sight)
standings = strategies.models(Standing)
numbers = st.integers(0, 2**31)
sequences = st.integers(-1, 4) | numbers
sessions = st.sampled_from([SESSION, SESSION, SESSION, "", "other", 'a"b', "\\", "ü\n"])

_STUMBLES = [
    *(b"null", b"NaN", b"-Infinity", b"1e999", b"-0", b"9" * 400, b"true", b'""', b"{}", b"[]", b"[" * 300),
    *(b'"\\ud800"', b"\xff\xfe", b"\x00", b'"id":', b'"type":', b',"type":"step"', b'"session":"0b7e"', b'"seq":'),
    *(b'{"__ndarray__":"AA==","dtype":"|O","shape":[1]}', b'{"__bytes__":5}', b'{"__plain__":{}}', b"\\u00"),
    *(b"\xc1", b"\xc7\x05\x01\x93\xa1x\x90\x90", b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xd9\xff"),
    *(b"\xc7\x00\x01", b"\xd4\x02\x00", b"\xc6\xff\xff\xff\xff", b"\x91" * 300, b"\x81\xc0\xc0", b"\xcb\x7f\xf0"),
]
stumbles = st.sampled_from(_STUMBLES)


@st.composite
def mutated(draw: st.DrawFn, valid: st.SearchStrategy[bytes]) -> bytes:
    """Any bytes, or a valid frame with a few things wrong with it."""
    if draw(st.integers(0, 7)) == 0:
        return draw(st.binary(max_size=200))
    raw = bytearray(draw(valid))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.integers(0, 12)))
        what = draw(st.integers(0, 4))
        if what == 0:
            raw[start:end] = draw(stumbles)
        elif what == 1:
            raw[start:end] = draw(st.binary(max_size=8))
        elif what == 2:
            del raw[start:]
        elif what == 3 and start < len(raw):
            raw[start] ^= 1 << draw(st.integers(0, 7))
        else:
            raw[start:start] = raw[start:end]
    return bytes(raw)


HERD = 40
"""Mutations of one frame that are tried together: drawing a frame takes far longer than reading it."""


@st.composite
def herds(draw: st.DrawFn, valid: st.SearchStrategy[bytes]) -> list[bytes]:
    """A valid frame, and many in which something is wrong."""
    raw, chance = draw(valid), random.Random(draw(st.integers(0, 2**32)))
    return [raw, *(_struck(bytearray(raw), chance) for _ in range(HERD))]


def _struck(raw: bytearray, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 3)):
        start = chance.randint(0, len(raw))
        end = min(len(raw), start + chance.randint(0, 12))
        what = chance.randrange(6)
        if what == 0:
            raw[start:end] = chance.choice(_STUMBLES)
        elif what == 1:
            raw[start:end] = chance.randbytes(chance.randint(0, 8))
        elif what == 2:
            del raw[start:]
        elif what == 3 and start < len(raw):
            raw[start] ^= 1 << chance.randrange(8)
        elif what == 4:
            other = chance.randint(0, len(raw))
            raw[start:end] = raw[other : other + chance.randint(0, 40)]
        else:
            raw[start:start] = raw[start:end]
    return bytes(raw)


# --- what a client sends ------------------------------------------------------------------------------


@st.composite
def requests_v1(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(["step", "step", "reset", "state", "mcp", "close"]))
    if kind == "step":
        return b'{"type":"step","data":%s}' % CLIENT.payload_json(draw(deeds))
    if kind in ("state", "close"):
        return b'{"type":"%s"}' % kind.encode()
    return JSON.encode({"type": kind, "data": draw(_arguments(kind))})


def _arguments(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    if kind == "mcp":
        return st.fixed_dictionaries({"jsonrpc": st.just("2.0"), "id": numbers, "method": strategies.texts})
    texts = strategies.texts
    return st.fixed_dictionaries({}, optional={"seed": numbers, "episode_id": texts, "x": texts})


@st.composite
def requests_v2(draw: st.DrawFn, form: Format) -> bytes:
    number, session, seq = draw(numbers), draw(sessions), draw(sequences)
    kind = draw(st.sampled_from(["step", "step", "reset", "step_many", "reset_many", "other"]))
    if kind in ("step", "reset"):
        data = CLIENT.payload_tree(draw(deeds)) if kind == "step" else draw(_arguments(kind))
        return _packed(form.encode, {"id": number, "type": kind, "session": session, "seq": seq, "data": data})
    if kind == "other":
        other = draw(
            st.sampled_from(
                [
                    {"type": "hello", "version": 2},
                    {"type": "open", "count": 2},
                    {"type": "resume", "session": session, "token": "t"},
                    {"type": "state", "session": session},
                    {"type": "close", "session": session},
                    {"type": "cancel", "target": number},
                    {"type": "ping"},
                    {"type": "snapshot", "session": session, "seq": seq},
                    {"type": "restore", "session": session, "seq": seq, "data": {"snapshot": "s"}},
                    {"type": "fork", "session": session, "seq": seq, "data": {"count": 2, "seeds": [1, number]}},
                    {"type": "snapshots", "session": session},
                    {"type": "drop", "session": session, "data": {"snapshot": "s"}},
                    {"type": "mcp", "session": session, "data": {"jsonrpc": "2.0", "id": 1, "method": "x"}},
                ]
            )
        )
        return form.encode({"id": number, **other})
    pack = CLIENT.payload_tree if kind == "step_many" else dict
    content = deeds if kind == "step_many" else _arguments("reset")
    items = [
        {"session": draw(sessions), "seq": draw(sequences), "data": pack(draw(content))}
        for _ in range(draw(st.integers(1, 3)))
    ]
    return _packed(form.encode, {"id": number, "type": kind, "items": items})


_POINT = {"episode_id": "e", "parent_id": None, "seed": 1, "step_count": 0, "done": False}
_FORK = {"session": "f", "token": "t", "episode_id": "e"}
_FORKED = {"sessions": [_FORK], "parent_id": "p", "seed": 1, "step_count": 0, "done": False}


# --- what a server sends ------------------------------------------------------------------------------


@st.composite
def results(draw: st.DrawFn) -> StepResult[Any]:
    return StepResult.make(draw(sights), draw(strategies.rewards), draw(st.booleans()))


@st.composite
def replies_v1(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(["observation", "observation", "state", "error"]))
    if kind == "observation":
        return frame(kind, encode_result(draw(results())))
    if kind == "state":
        return frame(kind, encode_state(draw(standings)))
    return frame(kind, JSON.encode(draw(errors)))


@st.composite
def replies_v2(draw: st.DrawFn, form: Format) -> bytes:
    number, session, seq = draw(st.integers(0, 9)), draw(sessions), draw(numbers)
    kind = draw(st.sampled_from(["observation", "observation", "state", "error", "batch", "other"]))
    if kind == "batch":
        return draw(batches_v2(form))
    if kind == "other":
        other = draw(
            st.sampled_from(
                [
                    {"id": number, "type": "opened", "sessions": [{"session": "s", "token": "t"}], "lease_s": 1.0},
                    {"id": number, "type": "resumed", "session": session, "seq": 1, "phase": "running"},
                    {"id": number, "type": "closed", "session": session},
                    {"id": number, "type": "forked", "session": session, "seq": seq, "data": _FORKED},
                    {"id": number, "type": "restored", "session": session, "seq": seq, "data": _POINT},
                    {"id": number, "type": "pong"},
                    {"id": number, "type": "progress", "session": session, "data": {}},
                    {"type": "ended", "session": session, "data": {"message": "x", "code": "SESSION_LOST"}},
                ]
            )
        )
        return form.encode(other)
    data = {
        "observation": lambda: _packed(form.pack_result, draw(results())),
        "state": lambda: _packed(form.pack_state, draw(standings)),
        "error": lambda: form.encode(draw(errors)),
    }[kind]()
    plain = session if session.isascii() and session.isalnum() else SESSION  # a server's own ids
    return form.answer(number, kind, plain, seq, data)


@st.composite
def batches_v2(draw: st.DrawFn, form: Format) -> bytes:
    items = []
    for _ in range(draw(st.integers(1, 3))):
        good = draw(st.booleans())
        data = _packed(form.pack_result, draw(results())) if good else form.encode(draw(errors))
        items.append(form.item(draw(sessions), draw(numbers), "data" if good else "error", data))
    return form.items(draw(numbers), items, draw(st.booleans()))


def _packed(pack: Callable[[Any], bytes], value: Any) -> bytes:
    """Pack a value; one without a form, such as an integer of more than 64 bits in MessagePack, is passed over."""
    try:
        return pack(value)
    except (SerializationError, OverflowError):
        reject()


errors = st.fixed_dictionaries(
    {"message": strategies.texts, "code": st.sampled_from(["EXECUTION_ERROR", "BUDGET_EXCEEDED", "NEW", ""])},
    optional={"errors": st.none() | st.just([{"loc": [], "msg": "x"}]), "retry_after": strategies.finite},
)
