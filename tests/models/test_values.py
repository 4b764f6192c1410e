"""Bytes, tags, containers and foreign objects where a field is typed `Any`."""

import dataclasses
import datetime
import decimal
import enum
import json
import typing
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError, field_serializer
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypedDict

from openenv import values
from openenv.errors import SerializationError
from openenv.models import Observation, State, StepResult
from openenv.protocol import encoding, schemas


class Anything(Observation):
    value: Any = None


class Blobs(Observation):
    one: bytes = b""
    some: list[bytes] = Field([])
    named: dict[str, bytes] = Field({})
    either: bytes | None = None


class Record(BaseModel):
    value: Any = None


@dataclasses.dataclass
class Plain:
    value: Any = None


@pydantic_dataclass
class Checked:
    value: Any = None


class Pair(typing.NamedTuple):
    value: Any = None


class Row(TypedDict):
    value: Any


class Colour(enum.Enum):
    RED = "red"


def through_the_wire(value: Any) -> Any:
    """Return what arrives of a value in a field typed `Any`, in metadata, and in the info of a result."""
    observation = Anything(value=value, metadata={"x": value})
    decoded = Anything.model_validate_json(encoding.dump_model(observation))
    assert decoded.metadata["x"] == decoded.value
    assert values.loads(values.dumps({"x": value}))["x"] == decoded.value
    return decoded.value


@pytest.mark.parametrize("blob", [b"", b"ascii", b"\x00\xff", bytes(range(256))], ids=repr)
def test_bytes_survive_in_typed_fields_and_where_anything_goes(blob):
    sent = Blobs(one=blob, some=[blob, b""], named={"a": blob}, either=blob, metadata={"deep": [{"b": blob}]})
    decoded = Blobs.model_validate_json(encoding.dump_model(sent))
    assert decoded == sent
    assert type(decoded.metadata["deep"][0]["b"]) is bytes
    assert through_the_wire({"b": [blob]}) == {"b": [blob]}


@pytest.mark.parametrize("make", [bytearray, memoryview])
def test_other_buffers_arrive_as_bytes(make):
    assert through_the_wire(make(b"\xff")) == b"\xff"


def test_typed_bytes_are_base64_text_as_their_schema_says():
    assert json.loads(encoding.dump_model(Blobs(one=b"\xff")))["one"] == "_w=="
    schema = schemas.json_schema(Blobs)["properties"]["one"]
    assert (schema["type"], schema["format"]) == ("string", "base64url")


@pytest.mark.parametrize("text", ["_-8=", "/+8=", "_-8", "/+8"])
def test_typed_bytes_are_read_in_either_alphabet_of_base64(text):
    assert Blobs.model_validate_json(json.dumps({"one": text})).one == b"\xff\xef"


LOOKALIKES = [
    {"__bytes__": "YQ=="},
    {"__bytes__": 5},
    {"__bytes__": "not base64"},
    {"__ndarray__": "AA==", "dtype": "|u1", "shape": [1]},
    {"__ndarray__": None},
    {"__plain__": {}},
    {"__plain__": {"__bytes__": "YQ=="}},
    {"__plain__": {"__plain__": {"__plain__": 1}}},
    {"__bytes__": b"a", "other": [{"__plain__": 1}]},
]


@pytest.mark.parametrize("lookalike", LOOKALIKES, ids=str)
def test_a_dictionary_that_looks_like_a_tag_stays_a_dictionary(lookalike):
    assert through_the_wire(lookalike) == lookalike
    assert through_the_wire([{"deep": lookalike}]) == [{"deep": lookalike}]


@pytest.mark.parametrize("lookalike", LOOKALIKES, ids=str)
def test_metadata_with_keys_like_tags_stays_metadata(lookalike):
    sent = Observation(metadata=lookalike)
    assert Observation.model_validate_json(encoding.dump_model(sent)) == sent


@pytest.mark.parametrize(
    "malformed", [{"__bytes__": "no base64!"}, {"__bytes__": "YQ"}, {"__ndarray__": 1}], ids=str
)
def test_a_malformed_tag_is_refused(malformed):
    with pytest.raises(ValidationError):
        Anything.model_validate_json(json.dumps({"value": malformed}))
    with pytest.raises(ValueError):
        values.loads(json.dumps(malformed))


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ((1, (b"a",)), [1, [b"a"]]),
        (OrderedDict(a=b"\xff"), {"a": b"\xff"}),
        (Counter("aab"), {"a": 2, "b": 1}),
        (deque([b"\xff"]), [b"\xff"]),
        ({b"\xff"}, [b"\xff"]),
        (frozenset([1]), [1]),
        (Pair(b"\xff"), [b"\xff"]),
        (Plain({"deep": b"\xff"}), {"value": {"deep": b"\xff"}}),
        (Checked(b"\xff"), {"value": b"\xff"}),
        (Record(value=[b"\xff"]), {"value": [b"\xff"]}),
        ([Record(value=Plain(b"\xff"))], [{"value": {"value": b"\xff"}}]),
        (Row(value=b"\xff"), {"value": b"\xff"}),
        (Blobs(metadata={"x": b"\xff"}).metadata, {"x": b"\xff"}),
        ({1: "int key", None: 2}, {"1": "int key", "None": 2}),
        (Colour.RED, "red"),
        (Path("a/b"), "a/b"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime.date(2026, 6, 1), "2026-06-01"),
        (decimal.Decimal("1.50"), "1.50"),
        (2**70, 2**70),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_classes_arrive_in_their_json_form_with_the_bytes_in_them(sent, received):
    assert through_the_wire(sent) == received


def test_models_of_ours_inside_anything_keep_their_own_wire_form():
    inner = Blobs(one=b"\xff", metadata={"x": b"\xff"})
    decoded = Anything.model_validate_json(encoding.dump_model(Anything(value=[inner]))).value[0]
    assert decoded["one"] == "_w=="
    assert decoded["metadata"] == {"x": b"\xff"}


def test_sequences_and_bare_containers_carry_bytes_too():
    class Bare(Observation):
        sequence: Sequence[Any] = ()
        mapping: typing.Mapping[str, Any] = {}
        bare_list: list = Field([])
        bare_dict: dict = Field({})
        bare_tuple: tuple = ()
        an_object: object = None

    sent = Bare(
        sequence=[b"\xff"],
        mapping={"a": b"\xff"},
        bare_list=[b"\xff"],
        bare_dict={"a": b"\xff"},
        bare_tuple=(b"\xff",),
        an_object=b"\xff",
    )
    assert Bare.model_validate_json(encoding.dump_model(sent)) == sent


def test_a_model_that_holds_itself_carries_bytes_at_every_depth():
    class Tree(Observation):
        value: Any = None
        children: "list[Tree]" = Field([])

    Tree.model_rebuild(_types_namespace={"Tree": Tree})
    sent = Tree(value=b"\xff", children=[Tree(children=[Tree(value={"x": b"\x00"})])])
    assert Tree.model_validate_json(encoding.dump_model(sent)) == sent


def test_what_a_state_does_not_declare_carries_bytes_and_stays_itself_after_assignment():
    state = State(blob=b"\xff", table={"__bytes__": "no tag"})
    state.step_count += 1
    state.late = b"\x00"
    decoded = State.model_validate_json(encoding.encode_state(state))
    assert decoded == state
    assert decoded.model_extra == {"blob": b"\xff", "table": {"__bytes__": "no tag"}, "late": b"\x00"}
    assert set(json.loads(encoding.encode_state(state))) == {*State.model_fields, "blob", "table", "late"}


class Foreign:
    pass


HOLDER: list[Any] = []
HOLDER.append(HOLDER)

REFUSED = {
    "object": (Foreign(), r"tests\.models\.test_values\.Foreign has no JSON form; make it numbers"),
    "function": (len, "has no JSON form"),
    "class": (int, "has no JSON form"),
    "exception": (ValueError("x"), "ValueError has no JSON form"),
    "deep": ({"a": [Foreign()]}, "Foreign has no JSON form"),
    "in a record": (Record(value=Foreign()), "Foreign has no JSON form"),
    "lone surrogate": ("\ud800", "surrogates not allowed"),
    "lone surrogate as key": ({"\udfff": 1}, "surrogates not allowed"),
    "holds itself": (HOLDER, "(?i)recursion"),
}


@pytest.mark.parametrize(("value", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_has_no_json_form_is_refused_with_the_reason(value, reason):
    for encode in (
        lambda: encoding.encode_result(StepResult(Anything(value=value))),
        lambda: encoding.encode_result(StepResult(Observation(), info={"x": value})),
        lambda: encoding.encode_result(StepResult(Observation(), metadata={"x": value})),
        lambda: encoding.encode_state(State(x=value)),
        lambda: values.dumps({"x": value}),
    ):
        with pytest.raises(SerializationError, match=reason) as refused:
            encode()
        assert refused.value.code == "SERIALIZATION_ERROR"
        assert "Error serializing" not in refused.value.message


def test_an_exception_in_a_serialiser_of_the_environment_is_a_refusal_too():
    class Hostile(Observation):
        value: int = 1

        @field_serializer("value")
        def _serialise(self, value: int) -> int:
            raise LookupError("no value today")

    with pytest.raises(SerializationError, match="no value today"):
        encoding.dump_model(Hostile())
