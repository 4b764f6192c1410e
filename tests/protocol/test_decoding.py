"""What a server makes of a message: the message, or one error with a stable code."""

import json
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import field_validator, model_validator
from tests import strategies
from tests.toys import Add, Count

from openenv.errors import InvalidRequestError, RequestError
from openenv.models import Action, Observation
from openenv.protocol import codec, encoding
from openenv.protocol import messages as m


class Break(Action):
    """An action whose validators fail in ways that pydantic does not expect."""

    how: str

    @field_validator("how")
    @classmethod
    def _break(cls, how: str) -> str:
        failures = {
            "value": ValueError("no good"),
            "surrogate": ValueError("lone \ud800"),
            "assertion": AssertionError("not so"),
            "key": KeyError("gone"),
            "zero": ZeroDivisionError("by zero"),
            "exit": SystemExit(1),
            "hostile": Hostile(),
        }
        if how in failures:
            raise failures[how]
        return how


class Hostile(Exception):
    def __str__(self) -> str:
        raise SystemExit(2)


class Move(Action):
    kind: Literal["move"] = "move"
    to: list[int]
    where: np.ndarray | None = None
    note: Any = None


class Stay(Action):
    kind: Literal["stay"] = "stay"


SERVERS = {
    "one class": codec.ServerCodec(Add, Count),
    "told apart by a field": codec.ServerCodec(Move | Stay, Count),
    "told apart by keys": codec.ServerCodec(Add | Move, Count),
    "any dictionary": codec.ServerCodec(dict[str, Any], Count),
}

ADD = SERVERS["one class"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ('{"type":"reset"}', m.WSResetMessage()),
        ('{"type":"reset","data":{}}', m.WSResetMessage()),
        ('{"type":"reset","data":{"seed":1,"task":"t"}}', m.WSResetMessage(data={"seed": 1, "task": "t"})),
        ('{"type":"state"}', m.WSStateMessage()),
        (b' {"type" : "close"} ', m.WSCloseMessage()),
        ('{"type":"mcp","data":{"id":1}}', m.WSMCPMessage(data={"id": 1})),
    ],
)
def test_a_frame_becomes_its_message(raw, message):
    assert ADD.decode(raw) == message


def test_a_step_carries_the_typed_action():
    step = ADD.decode('{"type":"step","data":{"amount":3,"metadata":{"x":{"__bytes__":"/w=="}}}}')
    assert step.data == Add(amount=3, metadata={"x": b"\xff"})
    body = ADD.decode_step('{"action":{"amount":3},"timeout_s":2,"request_id":"r","more":1}')
    assert (body.action, body.timeout_s, body.model_extra) == (Add(amount=3), 2.0, {"more": 1})


REFUSED = [
    ("", "INVALID_JSON", None),
    ("{bad", "INVALID_JSON", None),
    ("[" * 100_000, "INVALID_JSON", None),
    ('{"type":"state"} trailing', "INVALID_JSON", None),
    (b"\xff\xfe", "INVALID_JSON", None),
    (b"\x00", "INVALID_JSON", None),
    ("5", "VALIDATION_ERROR", []),
    ("null", "VALIDATION_ERROR", []),
    ("[1,2]", "VALIDATION_ERROR", []),
    ('"x"', "VALIDATION_ERROR", []),
    ("{}", "UNKNOWN_TYPE", None),
    ('{"type":"nope"}', "UNKNOWN_TYPE", None),
    ('{"type":5}', "UNKNOWN_TYPE", None),
    ('{"type":null}', "UNKNOWN_TYPE", None),
    ('{"type":{"a":1}}', "UNKNOWN_TYPE", None),
    ('{"type":"step"}', "VALIDATION_ERROR", ["data"]),
    ('{"type":"step","data":5}', "VALIDATION_ERROR", ["data"]),
    ('{"type":"step","data":{"amount":"x"}}', "VALIDATION_ERROR", ["amount"]),
    ('{"type":"step","data":{"other":1}}', "VALIDATION_ERROR", ["other"]),
    ('{"type":"step","data":{},"id":1}', "VALIDATION_ERROR", ["id"]),
    ('{"type":"state","data":{}}', "VALIDATION_ERROR", ["data"]),
    ('{"type":"reset","data":{"seed":-1}}', "VALIDATION_ERROR", ["seed"]),
    ('{"type":"reset","data":{"episode_id":7}}', "VALIDATION_ERROR", ["episode_id"]),
    ('{"type":"mcp"}', "VALIDATION_ERROR", ["data"]),
]


@pytest.mark.parametrize(("raw", "code", "where"), REFUSED, ids=lambda value: repr(value)[:40])
def test_a_wrong_frame_is_one_error_with_a_stable_code_and_the_place(raw, code, where):
    with pytest.raises(InvalidRequestError) as refused:
        ADD.decode(raw)
    assert refused.value.code == code
    assert (refused.value.errors or [{"loc": None}])[0]["loc"] == where
    assert where is None or set(refused.value.errors[0]) == {"loc", "msg", "type"}
    json.loads(encoding.encode_error(refused.value))


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("value", "no good"),
        ("surrogate", "surrogates not allowed"),
        ("assertion", "not so"),
        ("key", "KeyError: 'gone'"),
        ("zero", "ZeroDivisionError: by zero"),
        ("exit", "SystemExit: 1"),
        ("hostile", "Hostile: (its message could not be read)"),
    ],
)
def test_a_validator_that_raises_whatever_refuses_the_message(how, told):
    server = codec.ServerCodec(Break, Count)
    for decode, raw in (
        (server.decode, f'{{"type":"step","data":{{"how":"{how}"}}}}'),
        (server.decode_step, f'{{"action":{{"how":"{how}"}}}}'),
        (codec.ServerCodec(Break | Add, Count).decode, f'{{"type":"step","data":{{"how":"{how}"}}}}'),
    ):
        with pytest.raises(InvalidRequestError) as refused:
            decode(raw)
        assert refused.value.code == "VALIDATION_ERROR"
        assert told in refused.value.message
        assert RequestError.from_wire(json.loads(encoding.encode_error(refused.value))).code == "VALIDATION_ERROR"


def test_a_validator_of_the_whole_action_may_refuse_as_well():
    class Sum(Action):
        a: int
        b: int

        @model_validator(mode="after")
        def _is_even(self):
            if (self.a + self.b) % 2:
                raise ValueError("the sum is odd")
            return self

    with pytest.raises(InvalidRequestError, match="the sum is odd"):
        codec.ServerCodec(Sum, Count).decode('{"type":"step","data":{"a":1,"b":2}}')


def test_errors_hold_neither_the_input_nor_addresses():
    with pytest.raises(InvalidRequestError) as refused:
        ADD.decode('{"type":"step","data":{"amount":"my password"}}')
    assert b"password" not in encoding.encode_error(refused.value)
    assert b"http" not in encoding.encode_error(refused.value)


def test_a_message_with_very_many_errors_is_answered_with_some_of_them():
    unknown = ",".join(f'"k{number}":1' for number in range(10_000))
    with pytest.raises(InvalidRequestError, match=r"and 9999 more") as refused:
        ADD.decode(f'{{"type":"step","data":{{{unknown}}}}}')
    assert len(refused.value.errors) == 50


@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS.keys())
@given(raw=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(raw=b'{"type":"step","data":{"__ndarray__":1}}')
def test_random_bytes_are_understood_or_refused(server, raw):
    understood_or_refused(server, raw)


FRAMES = st.fixed_dictionaries(
    {"type": st.sampled_from(["reset", "step", "state", "close", "mcp", "action"]) | strategies.json_values},
    optional={
        "data": strategies.json_values
        | st.dictionaries(
            st.sampled_from(["amount", "kind", "to", "where", "note", "metadata", "seed", "episode_id", "type"]),
            strategies.json_values
            | st.sampled_from(["move", "stay"])
            | st.fixed_dictionaries(
                {"__ndarray__": st.sampled_from(["", "AAAA", "AAA=", "x"]) | strategies.json_values},
                optional={
                    "dtype": st.sampled_from(["<f4", "|u1", "U", "O", "V3", "2u1", "M8[s]"])
                    | strategies.json_values,
                    "shape": st.lists(st.integers(-2, 2**70), max_size=3) | strategies.json_values,
                },
            ),
        ),
        "other": strategies.json_values,
    },
)


@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS.keys())
@given(frame=FRAMES | strategies.json_values)
def test_random_json_is_understood_or_refused(server, frame):
    understood_or_refused(server, json.dumps(frame))


def understood_or_refused(server: codec.ServerCodec, raw: bytes | str) -> None:
    for decode in (server.decode, server.decode_step, server.decode_reset):
        try:
            decode(raw)
        except RequestError as error:
            refused = error
        else:
            continue
        assert refused.code in ("INVALID_JSON", "UNKNOWN_TYPE", "VALIDATION_ERROR")
        json.loads(encoding.encode_error(refused))


def test_two_members_with_the_same_tag_are_refused_when_the_server_is_made():
    class Same(Action):
        kind: Literal["move"] = "move"

    with pytest.raises((ValueError, TypeError), match="move"):
        codec.ServerCodec(Move | Same, Observation)
