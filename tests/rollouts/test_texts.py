"""What a model reads, and what its words mean."""

import numpy as np
import pytest

from openenv.models import Observation
from openenv.rollouts import action_of, only_field, takes_tool_calls, text_of


class Said(Observation):
    text: str = ""
    count: int | None = None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (Observation(reward=1.0), ""),
        ({"reward": 1.0, "done": True, "metadata": {}}, ""),
        ({}, "{}"),
        ("as it is", "as it is"),
        (Said(text="one thing", reward=1.0, metadata={"secret": 1}), "one thing"),
        (Said(text="two", count=2), '{"text":"two","count":2}'),
        ({"text": "hi", "reward": 1.0, "done": True}, "hi"),
        ({"board": np.zeros((2, 2), int)}, '{"board":[[0,0],[0,0]]}'),
        ({"frame": np.zeros((84, 84))}, '{"frame":"<array of shape (84, 84)>"}'),
        ({"file": b"abc"}, '{"file":"<3 bytes>"}'),
        ([1, {"a": None}], '[1,{"a":null}]'),
        (3.5, "3.5"),
    ],
)
def test_what_a_model_is_told(value, text):
    assert text_of(value) == text


TEXT = {"properties": {"message": {"type": "string"}, "metadata": {"type": "object"}}, "required": ["message"]}
NUMBER = {"properties": {"move": {"type": "integer"}}}
AMOUNT = {"properties": {"amount": {"type": "number"}}}
ONE_NEEDED = {"properties": {"code": {"type": "string"}, "timeout": {"type": "number"}}, "required": ["code"]}
SEVERAL = {"properties": {"row": {"type": "integer"}, "column": {"type": "integer"}}, "required": ["row", "column"]}
CALL = {"title": "CallToolAction", "properties": {"type": {"const": "call_tool"}, "tool_name": {"type": "string"}}}
LIST = {"title": "ListToolsAction", "properties": {"type": {"const": "list_tools"}}}
TEXT_OR_CALL = {"anyOf": [{**TEXT, "title": "Say"}, CALL, LIST]}
UNION = {
    "$defs": {
        "Read": {"properties": {"type": {"const": "read"}, "path": {"type": "string"}}, "required": ["path"]},
        "Run": {"properties": {"type": {"const": "run"}, "command": {"type": "string"}}},
    },
    "oneOf": [{"$ref": "#/$defs/Read"}, {"$ref": "#/$defs/Run"}],
}
CHOICES = {"properties": {"moves": {"type": "array"}}}


@pytest.mark.parametrize(
    ("words", "schema", "action"),
    [
        ("any words", TEXT, {"message": "any words"}),
        ('{"message": "in JSON"}', TEXT, {"message": "in JSON"}),
        ("I take 3, no: 4", NUMBER, {"move": 4}),
        ("-1", NUMBER, {"move": -1}),
        ("about 1.5e-3", AMOUNT, {"amount": 0.0015}),
        ("[" * 100_000, TEXT, {"message": "[" * 100_000}),
        ('{"row": 1, "column": 2}' + "[" * 100_000, SEVERAL, {"row": 1, "column": 2}),
        ("x = {1: 2}", ONE_NEEDED, {"code": "x = {1: 2}"}),
        ('{"code": "x", "timeout": 3}', ONE_NEEDED, {"code": "x", "timeout": 3}),
        ('I think {hm} of {"row": 1, "column": 2}.', SEVERAL, {"row": 1, "column": 2}),
        (
            '{"row": 0, "column": 0} no,\n```\n{"row": 1, "column": 2}\n```',
            SEVERAL,
            {"row": 1, "column": 2},
        ),
        ("[1, 2]", CHOICES, {"moves": [1, 2]}),
        ("hello", TEXT_OR_CALL, {"message": "hello"}),
        ('{"tool_name": "add"}', TEXT_OR_CALL, {"tool_name": "add"}),
        ('{"path": "a.txt"}', UNION, {"path": "a.txt"}),
    ],
)
def test_what_words_mean(words, schema, action):
    assert action_of(words, schema) == action


@pytest.mark.parametrize(
    ("words", "schema", "told"),
    [
        ("nothing", SEVERAL, "row, column"),
        ("nothing", NUMBER, "a number: move"),
        ("nothing", CHOICES, "moves"),
        ("{" * 10_000, SEVERAL, "row, column"),
        *((start + "[" * 100_000, SEVERAL, "row, column") for start in ("", "well, ")),
        *((start + '{"row": ' * 100_000, SEVERAL, "row, column") for start in ("", "well, ")),
        ('{"row": ' + "[" * 150 + "]" * 150 + "}", SEVERAL, "nested more than 100 levels deep"),
        ('{"row": NaN, "column": Infinity}', SEVERAL, "row, column"),
        ('{"row": 1e999, "column": 0}', SEVERAL, "too large"),
        ('{"row": [{"x": -1e999}], "column": 0}', SEVERAL, "too large"),
        ('{"move": 1e999}', NUMBER, "too large"),
        ("1e999", AMOUNT, "too large"),
        ("9" * 400, AMOUNT, "too large"),
        ("nothing", UNION, r'one of these: \(type "read", path\); \(type "run", command\)'),
        ("nothing", {"anyOf": [CALL, LIST]}, r'\(type "call_tool", tool_name\); \(type "list_tools"\)'),
        ("nothing", CALL, "tool_name"),
    ],
)
def test_words_without_an_action_that_can_be_taken_are_told_why(words, schema, told):
    with pytest.raises(ValueError, match=told):
        action_of(words, schema)


def test_what_takes_calls_of_tools_is_known_by_its_schema():
    known = [takes_tool_calls(one) for one in (TEXT, UNION, CALL, TEXT_OR_CALL, {"title": "CallToolAction"})]
    assert known == [False, False, True, True, True]
    assert only_field(TEXT_OR_CALL)[0] == "message"
    assert only_field(CALL) == only_field(UNION) == only_field({}) == (None, {})
