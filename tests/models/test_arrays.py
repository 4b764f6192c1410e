"""NumPy arrays inside messages."""

import json
from typing import Any

import numpy as np
import pytest
from pydantic import Field, ValidationError

from openenv import values
from openenv.errors import ConfigurationError, SerializationError
from openenv.models import Observation
from openenv.protocol import encoding, schemas


class Frame(Observation):
    pixels: np.ndarray


class Maybe(Observation):
    pixels: np.ndarray | None = None


class Layers(Observation):
    named: dict[str, np.ndarray] = Field({})
    listed: list[np.ndarray] = Field([])
    paired: tuple[np.ndarray, int] | None = None
    loose: Any = None


ARRAYS = {
    "one byte a pixel": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "float16": np.array([1.5, -0.0, 65504], np.float16),
    "float32": np.array([[1e-38, 3.4e38]], np.float32),
    "complex": np.array([1 + 2j]),
    "bool": np.array([True, False]),
    "big endian": np.array([1, 2, 3], ">i4"),
    "0-d": np.array(7, np.int16),
    "empty": np.empty((0,), np.float64),
    "empty in the middle": np.empty((3, 0, 2), np.int8),
    "every other": np.arange(10)[::2],
    "reversed": np.arange(5)[::-1],
    "transposed": np.arange(6).reshape(2, 3).T,
    "column order": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "broadcast": np.broadcast_to(np.array([1, 2]), (3, 2)),
    "read only": np.frombuffer(b"\x01\x02", np.uint8),
    "datetime64": np.array(["2026-06-01T12:00", "NaT"], "datetime64[s]"),
    "timedelta64": np.array([5], "timedelta64[ns]"),
    "text": np.array(["ä", "longer"]),
    "fixed bytes": np.array([b"ab", b"\xff"], "S2"),
    "NaN is data in an array": np.array([np.nan, np.inf, -np.inf]),
}


def assert_same_array(decoded: Any, array: np.ndarray) -> None:
    assert type(decoded) is np.ndarray
    assert (decoded.dtype, decoded.shape) == (array.dtype, array.shape)
    assert decoded.tobytes() == array.tobytes()


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS.keys())
def test_an_array_survives_in_a_typed_field_and_where_anything_goes(array):
    frame = Frame(pixels=array, metadata={"also": [{"here": array}]})
    decoded = Frame.model_validate_json(encoding.dump_model(frame))
    assert decoded == frame
    assert_same_array(decoded.pixels, array)
    assert_same_array(decoded.metadata["also"][0]["here"], array)
    if array.size:
        decoded.pixels[...] = decoded.pixels.flat[0]  # it can be written to


def test_arrays_survive_inside_containers_unions_and_next_to_none():
    array = ARRAYS["transposed"]
    layers = Layers(named={"a": array}, listed=[array, array], paired=(array, 3), loose=(array,))
    decoded = Layers.model_validate_json(encoding.dump_model(layers))
    for found in (decoded.named["a"], *decoded.listed, decoded.paired[0], decoded.loose[0]):
        assert_same_array(found, array)
    assert Maybe.model_validate_json(encoding.dump_model(Maybe())).pixels is None
    assert_same_array(Maybe.model_validate_json(encoding.dump_model(Maybe(pixels=array))).pixels, array)


def test_a_typed_array_field_accepts_nested_lists_from_other_languages():
    assert_same_array(Frame.model_validate_json('{"pixels":[[1,2],[3,4]]}').pixels, np.array([[1, 2], [3, 4]]))


def test_the_tagged_form_is_what_the_documentation_says():
    wire = json.loads(encoding.dump_model(Frame(pixels=np.array([[1, 2]], np.uint8))))
    assert wire["pixels"] == {"__ndarray__": "AQI=", "dtype": "|u1", "shape": [1, 2]}


GOOD = {"__ndarray__": "AQI=", "dtype": "|u1", "shape": [2]}


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": None},
        {"dtype": "no such"},
        {"dtype": "O"},
        {"dtype": [["a", "<i4"]]},
        {"dtype": 5},
        {"dtype": "2u1"},
        {"dtype": "|b9"},
        {"dtype": ","},
        {"shape": [3]},
        {"shape": [-1]},
        {"shape": [2.0]},
        {"shape": [True, True]},
        {"shape": "2"},
        {"shape": ["x"]},
        {"shape": None},
        {"shape": [10**30]},
        {"__ndarray__": "AQI"},
        {"__ndarray__": "no base64!"},
        {"__ndarray__": 5},
        {"__ndarray__": "AQID", "dtype": "<u2"},
    ],
    ids=str,
)
def test_a_malformed_array_is_refused_wherever_it_stands(change):
    tagged = json.dumps(GOOD | change)
    with pytest.raises(ValidationError):
        Frame.model_validate_json(f'{{"pixels":{tagged}}}')
    with pytest.raises(ValidationError):
        Layers.model_validate_json(f'{{"loose":[{tagged}]}}')
    with pytest.raises(ValueError):
        values.loads(f"[{tagged}]")


@pytest.mark.parametrize("missing", ["dtype", "shape"])
def test_an_array_with_a_key_missing_is_refused(missing):
    tagged = {key: value for key, value in GOOD.items() if key != missing}
    with pytest.raises(ValidationError, match=missing):
        Layers.model_validate_json(json.dumps({"loose": tagged}))


@pytest.mark.parametrize(
    "array", [np.array([object()]), np.zeros(1, [("a", int)])], ids=["objects", "named fields"]
)
def test_an_array_without_a_plain_dtype_is_refused_with_a_reason(array):
    for observation in (Frame(pixels=array), Layers(loose={"x": array})):
        with pytest.raises(SerializationError, match="has no wire form; use a numeric dtype"):
            encoding.dump_model(observation)


@pytest.mark.parametrize("subclass", [np.ma.MaskedArray, np.recarray, np.memmap])
def test_a_subclass_of_the_array_is_refused_rather_than_sent_without_what_makes_it_one(subclass):
    with pytest.raises(SerializationError, match=f"{subclass.__name__} has no JSON form"):
        encoding.dump_model(Layers(loose=np.zeros(1).view(subclass)))


@pytest.mark.parametrize(
    ("scalar", "plain"),
    [
        (np.float32(1.5), 1.5),
        (np.float16(0.5), 0.5),
        (np.int64(-3), -3),
        (np.uint8(255), 255),
        (np.bool_(True), True),
        (np.str_("text"), "text"),
        (np.bytes_(b"\xff"), b"\xff"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_numpy_scalar_arrives_as_the_python_value(scalar, plain):
    decoded = Layers.model_validate_json(encoding.dump_model(Layers(loose=[scalar], metadata={"x": scalar})))
    assert decoded.loose == [plain]
    assert type(decoded.loose[0]) is type(decoded.metadata["x"]) is type(plain)


def test_a_long_double_is_refused_because_no_number_of_json_holds_it():
    with pytest.raises(SerializationError, match=r"numpy\.longdouble has no JSON form"):
        encoding.dump_model(Layers(loose=np.longdouble(1)))


def test_arrays_are_equal_by_dtype_shape_and_content():
    one = Frame(pixels=np.array([1, 2]))
    assert one == Frame(pixels=np.array([1, 2]))
    assert one != Frame(pixels=np.array([1, 3]))
    assert one != Frame(pixels=np.array([[1, 2]]))
    assert one != Frame(pixels=np.array([1.0, 2.0]))
    assert one != Maybe(pixels=np.array([1, 2]))
    assert Frame(pixels=np.array([np.nan])) == Frame(pixels=np.array([np.nan]))


def test_the_schema_of_an_array_field_says_how_to_write_one():
    schema = schemas.json_schema(Frame)["properties"]["pixels"]
    assert schema["required"] == ["__ndarray__", "dtype", "shape"]
    assert schemas.json_schema(Layers)["properties"]["listed"]["items"]["required"] == schema["required"]


def test_an_array_for_a_program_without_numpy_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "numpy", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'openenv\[arrays\]'"):
        values.decode(GOOD)
