"""Spaces as JSON Schemas and back."""

import json

import pytest

pytest.importorskip("gymnasium", reason="gymnasium is not installed")

import jsonschema
import numpy as np
from gymnasium import spaces

from openenv.errors import ConfigurationError
from openenv.integrations.gymnasium.spaces import KEY, schema_of, space_of
from openenv.integrations.gymnasium.wire import sent, taken

INF = np.inf
SPACES = [
    spaces.Discrete(5),
    spaces.Discrete(3, start=-1),
    spaces.Discrete(3, start=2, dtype=np.int32),
    spaces.MultiDiscrete([2, 3], dtype=np.int32),
    spaces.Tuple([spaces.Discrete(3, dtype=np.uint8)] * 2),
    spaces.Sequence(spaces.Discrete(3, dtype=np.int8)),
    spaces.OneOf([spaces.Discrete(3, dtype=np.int16), spaces.Discrete(3)]),
    spaces.Box(-1.0, 1.0, (2, 3), np.float32),
    spaces.Box(0, 255, (4, 4, 3), np.uint8),
    spaces.Box(-INF, INF, (3,), np.float64),
    spaces.Box(np.array([-1.0, -INF], np.float32), np.array([0.5, 2.0], np.float32)),
    spaces.Box(np.array([[-1, 0], [0, -INF]]), np.array([[1, INF], [2, 3]]), dtype=np.float64),
    spaces.Box(0.0, 1.0, (), np.float32),
    spaces.Box(-(2**63), 2**63 - 1, (2,), np.int64),
    spaces.MultiDiscrete([2, 3, 4]),
    spaces.MultiDiscrete([2, 3], start=[1, -1]),
    spaces.MultiDiscrete([[2, 3], [4, 5]]),
    spaces.MultiBinary(4),
    spaces.MultiBinary([4]),
    spaces.MultiBinary([2, 3]),
    spaces.Text(8),
    spaces.Text(3, min_length=0, charset="ab-]^\\"),
    spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 1, (2,), np.float32)]),
    spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Dict({"c": spaces.MultiBinary(2)})}),
    spaces.Sequence(spaces.Discrete(4)),
    spaces.Sequence(spaces.Box(0, 1, (2,), np.float32), stack=True),
    spaces.OneOf([spaces.Discrete(2), spaces.Text(3)]),
]
every_space = pytest.mark.parametrize("space", SPACES, ids=lambda space: repr(space)[:60])


def listed(value):
    """Return what was sent as JSON has it."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: listed(each) for key, each in value.items()}
    return [listed(each) for each in value] if isinstance(value, list) else value


@every_space
def test_a_space_comes_back_from_its_schema(space):
    back = space_of(json.loads(json.dumps(schema_of(space), allow_nan=False)))
    assert back == space
    assert [each.dtype for each in parts(back)] == [each.dtype for each in parts(space)]


def parts(space):
    """Return a space and all that it is made of; not each of them looks at its dtype when it is compared."""
    inner = {**vars(space), **getattr(space, "_spaces", {})}.get("spaces", ())
    inner = [*(inner.values() if isinstance(inner, dict) else inner)]
    inner += [space.feature_space] if isinstance(space, spaces.Sequence) else []
    return [space, *(part for each in inner for part in parts(each))]


@every_space
def test_elements_fit_the_schema_and_come_back_from_json(space):
    schema = schema_of(space)
    jsonschema.Draft202012Validator.check_schema(schema)
    space.seed(1)
    for _ in range(20):
        value = space.sample()
        form = json.loads(json.dumps(listed(sent(space, value))))
        jsonschema.validate(form, schema)
        back = taken(space, form)
        assert space.contains(back)
        assert listed(sent(space, back)) == form


ANY = spaces.Box(-INF, INF, (), np.float32)


@pytest.mark.parametrize(
    ("schema", "space"),
    [
        ({"type": "integer", "minimum": 2, "maximum": 4}, spaces.Discrete(3, start=2)),
        ({"type": "number", "minimum": 0}, spaces.Box(0.0, INF, (), np.float32)),
        (
            {"type": "array", "items": {"type": "number", "maximum": 1}, "minItems": 3, "maxItems": 3},
            spaces.Box(-INF, 1.0, (3,), np.float32),
        ),
        (
            {
                "type": "array",
                "items": {"type": "integer", "minimum": 1, "maximum": 3},
                "minItems": 2,
                "maxItems": 2,
            },
            spaces.MultiDiscrete([3, 3], start=[1, 1]),
        ),
        (
            {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 3}},
            spaces.Sequence(spaces.Discrete(4)),
        ),
        ({"type": "object", "properties": {}}, spaces.Dict({})),
        ({"type": "integer", "minimum": 0, "exclusiveMaximum": 3}, spaces.Discrete(3)),
        ({"type": "integer", "exclusiveMinimum": 1.5, "maximum": 4.5}, spaces.Discrete(3, start=2)),
        ({"type": "integer", "minimum": 0, "exclusiveMinimum": 0, "maximum": 2}, spaces.Discrete(2, start=1)),
        ({"type": "array", "items": {"type": "number"}, "uniqueItems": False}, spaces.Sequence(ANY)),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_schema_of_other_people_becomes_the_simplest_space(schema, space):
    assert space_of(schema) == space


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "integer"},
        {"type": "string"},
        {"type": "boolean"},
        {"type": "array"},
        {"type": "null"},
        {KEY: {}},
        {KEY: {"type": "Box"}},
        {"type": "integer", "minimum": 5, "maximum": 3},
        {"type": "integer", "minimum": 0, "maximum": 2**64},
        {"type": "integer", "minimum": "0", "maximum": 2},
        {"type": "number", "minimum": 5, "maximum": 3},
        {"type": "string", "minLength": 5, "maxLength": 3},
        {"type": "array", "items": {"type": "number", "minimum": 5, "maximum": 3}, "minItems": 2, "maxItems": 2},
        {"oneOf": 5},
    ],
    ids=str,
)
def test_a_schema_that_no_space_has_is_refused(schema):
    with pytest.raises(ConfigurationError):
        space_of(schema)


TEN = {"type": "integer", "minimum": 0, "maximum": 10}


@pytest.mark.parametrize(
    ("schema", "unsaid"),
    [
        ({"oneOf": [TEN, {"type": "number"}]}, "oneOf"),
        ({"oneOf": [{"prefixItems": [TEN, TEN]}]}, "oneOf"),
        ({"anyOf": [TEN]}, "anyOf"),
        ({**TEN, "multipleOf": 5}, "multipleOf"),
        ({**TEN, "enum": [1, 7]}, "enum"),
        ({**TEN, "not": {"const": 3}}, "not"),
        ({"type": "number", "exclusiveMinimum": 0}, "exclusiveMinimum"),
        ({"type": "string", "maxLength": 3, "pattern": "^[ab]*$"}, "pattern"),
        ({"type": "array", "items": TEN, "uniqueItems": True}, "uniqueItems"),
        ({"type": "object", "properties": {"a": {**TEN, "multipleOf": 5}}}, "multipleOf"),
    ],
    ids=str,
)
def test_what_no_space_can_say_is_named(schema, unsaid):
    with pytest.raises(ConfigurationError, match=f"No space can say '{unsaid}'"):
        space_of(schema)


def test_a_space_without_a_schema_is_refused():
    with pytest.raises(ConfigurationError, match="Graph"):
        schema_of(spaces.Dict({"g": spaces.Graph(spaces.Discrete(2), None)}))
    with pytest.raises(ConfigurationError, match="keys"):
        schema_of(spaces.Dict({1: spaces.Discrete(2)}))
