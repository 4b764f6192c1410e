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
    assert space_of(json.loads(json.dumps(schema_of(space), allow_nan=False))) == space


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
    ],
    ids=str,
)
def test_a_schema_that_no_space_has_is_refused(schema):
    with pytest.raises(ConfigurationError):
        space_of(schema)


def test_a_space_without_a_schema_is_refused():
    with pytest.raises(ConfigurationError, match="Graph"):
        schema_of(spaces.Dict({"g": spaces.Graph(spaces.Discrete(2), None)}))
    with pytest.raises(ConfigurationError, match="keys"):
        schema_of(spaces.Dict({1: spaces.Discrete(2)}))
