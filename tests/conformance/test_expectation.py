"""Patterns of what a server has to send: what fits them, and how they are shown."""

from typing import Any

import pytest

from openenv.validation.checks import CheckFailed
from openenv.validation.conformance.expectation import ABSENT, ANY, NUMBER, TEXT, expect, shown

FITTING: list[tuple[Any, Any]] = [
    (ANY, None),
    (5, 5),
    (int, 5),
    (NUMBER, 5.5),
    (bool, True),
    (None, None),
    (TEXT, "x"),
    ({"a": 1}, {"a": 1, "b": 2}),
    ({"a": ABSENT}, {"b": 2}),
    ({"x", "y"}, "x"),
    ((int, None), None),
    ([int, str], [1, "x"]),
    ({"a": [{"b": ANY}]}, {"a": [{"b": None}]}),
]

NOT_FITTING: list[tuple[Any, Any]] = [
    (5, 6),
    (1, True),
    (1, 1.0),
    (int, True),
    (NUMBER, True),
    (bool, 1),
    (str, 5),
    (TEXT, " "),
    ({"a": ANY}, {}),
    ({"a": ABSENT}, {"a": None}),
    ({}, []),
    ([int], [1, 2]),
    ({"x", "y"}, "z"),
]


@pytest.mark.parametrize(("pattern", "got"), FITTING)
def test_what_fits(pattern: Any, got: Any):
    expect(pattern, got)


@pytest.mark.parametrize(("pattern", "got"), NOT_FITTING)
def test_what_does_not_fit(pattern: Any, got: Any):
    with pytest.raises(CheckFailed):
        expect(pattern, got)


def test_a_failure_shows_the_pattern_and_what_came():
    pattern = {
        "type": "error",
        "id": (7, None),
        "data": {"code": {"B", "A"}, "message": TEXT, "x": ABSENT, "n": NUMBER},
    }
    with pytest.raises(CheckFailed) as failed:
        expect(pattern, {"type": "pong"}, "in answer to a ping")
    assert failed.value.expected == (
        '{"type": "error", "id": 7 or null, "data": {"code": "A" or "B", "message": <a text>, "x": <not there>, '
        '"n": <a number>}} in answer to a ping'
    )
    assert failed.value.got == '{"type": "pong"}'


def test_what_is_long_or_binary_is_shown_shortly():
    assert len(shown("x" * 10_000)) < 450
    assert "10002 characters" in shown("x" * 10_000)
    assert shown(b"\x81" * 100).startswith("<100 bytes 81 81")
