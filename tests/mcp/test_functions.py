"""Tools and prompts from Python functions: what their schemas say, and how they are had by classes."""

from __future__ import annotations

import dataclasses
import enum
import typing
from datetime import date
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel, Field

from openenv.mcp import CallToolAction, Prompt, Tool, Toolbox, prompt, tool
from openenv.mcp.functions import declared


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(BaseModel):
    x: int
    y: int = 0


@dataclasses.dataclass
class Box:
    corner: Point
    size: float = 1.0


class Options(typing.TypedDict, total=False):
    verbose: bool
    depth: typing.Required[int]


def tool_of(cls: type) -> Tool:
    (one,) = declared(cls)
    return one.function.tool


def called(owner: Any, name: str, **arguments: Any) -> Any:
    return Toolbox(owner).call(CallToolAction(tool_name=name, arguments=arguments))


# --- schemas ---------------------------------------------------------------------------------------------


def test_a_function_says_what_it_is_by_its_hints_and_docstring():
    class Shop:
        @tool
        def find(self, query: str, limit: int = 5, *, exact: bool = False) -> list[str]:
            """Find products.

            Args:
                query: Words that
                    the name has.
                limit (int): How many at most.
            """
            return []

    found = tool_of(Shop)
    assert (found.name, found.description, found.title) == ("find", "Find products.", None)
    assert found.input_schema == {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "Words that the name has."},
            "limit": {"type": "integer", "description": "How many at most.", "default": 5},
            "exact": {"type": "boolean", "default": False},
        },
        "required": ["query"],
        "additionalProperties": False,
    }
    assert found.output_schema == {
        "type": "object",
        "properties": {"result": {"type": "array", "items": {"type": "string"}}},
        "required": ["result"],
        "x-fastmcp-wrap-result": True,
    }


def test_a_function_that_says_nothing_is_a_tool():
    class Shop:
        @tool
        def find(self, query, limit=5): ...

    found = tool_of(Shop)
    assert (found.description, found.output_schema) == ("", None)
    assert found.input_schema["properties"] == {"query": {}, "limit": {"default": 5}}
    assert found.input_schema["required"] == ["query"]


def test_a_tool_of_no_arguments_takes_an_object_without_any():
    class Shop:
        @tool(title="Look around", annotations={"readOnlyHint": True})
        def look(self) -> None:
            """Look."""

    found = tool_of(Shop)
    assert found.input_schema == {"type": "object", "properties": {}, "additionalProperties": False}
    assert (found.output_schema, found.title, found.annotations) == (None, "Look around", {"readOnlyHint": True})


@pytest.mark.parametrize(
    ("hint", "schema", "given", "received"),
    [
        (Colour, {"enum": ["red", "blue"], "type": "string"}, "red", Colour.RED),
        (Literal["a", "b"], {"enum": ["a", "b"], "type": "string"}, "b", "b"),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}, None, None),
        (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}, "x", "x"),
        (list[Point], {"type": "array"}, [{"x": 1}], [Point(x=1)]),
        (Box, {"type": "object"}, {"corner": {"x": 1}}, Box(Point(x=1))),
        (Options, {"type": "object"}, {"depth": 2}, {"depth": 2}),
        (list[Options] | None, {}, [{"depth": 2}], [{"depth": 2}]),
        (dict[str, int], {"type": "object"}, {"a": 1}, {"a": 1}),
        (tuple[int, str], {"type": "array"}, [1, "a"], (1, "a")),
        (date, {"type": "string", "format": "date"}, "2026-01-31", date(2026, 1, 31)),
        (Annotated[int, Field(ge=1)], {"type": "integer", "minimum": 1}, 3, 3),
        (int, {"type": "integer"}, "3", 3),  # a model that writes numbers as text is understood
    ],
    ids=str,
)
def test_an_argument_is_described_by_its_hint_and_received_as_its_type(hint, schema, given, received):
    got = []

    class Shop:
        @tool
        def take(self, it) -> bool:
            got.append(it)
            return True

    Shop.take.__annotations__["it"] = hint
    found = tool_of(Shop).input_schema
    told = found["properties"]["it"]
    if "$ref" in told:
        told = found["$defs"][told["$ref"].rpartition("/")[2]]
    assert schema.items() <= told.items()
    assert called(Shop(), "take", it=given).result is True
    assert got == [received]
    assert type(got[0]) is type(received)


def test_hints_that_are_text_may_name_what_is_defined_in_a_function_around():
    class Local(BaseModel):
        n: int

    class Shop:
        @tool
        def take(self, it: Local, more: list[Local] | None = None) -> Local:
            return it

    assert tool_of(Shop).input_schema["properties"]["it"] == {"$ref": "#/$defs/Local"}
    assert called(Shop(), "take", it={"n": 3}).result == {"n": 3}


def test_a_hint_that_only_a_type_checker_can_read_is_as_none_at_all(caplog):
    class Shop:
        @tool
        def take(self, it: Missing, n: int) -> int:  # noqa: F821
            return n

    assert tool_of(Shop).input_schema["properties"] == {"it": {}, "n": {"type": "integer"}}
    assert "the annotation of it is ignored" in caplog.text


def test_a_tool_with_any_keyword_takes_arguments_of_any_name():
    class Shop:
        @tool
        def take(self, a: int, **rest: Any) -> dict[str, Any]:
            return {"a": a, **rest}

    assert tool_of(Shop).input_schema["additionalProperties"] is True
    assert called(Shop(), "take", a=1, b=[2]).result == {"a": 1, "b": [2]}


def test_an_argument_that_was_not_given_is_left_to_the_function():
    marker = object()

    class Shop:
        @tool
        def take(self, a=marker) -> bool:
            return a is marker

    assert "default" not in tool_of(Shop).input_schema["properties"]["a"]
    assert called(Shop(), "take").result is True


@pytest.mark.parametrize(
    ("hint", "returned", "result", "wrapped"),
    [
        (Point, Point(x=1), {"x": 1, "y": 0}, False),
        (Box, Box(Point(x=1)), {"corner": {"x": 1, "y": 0}, "size": 1.0}, False),
        (dict[str, int], {"a": 1}, {"a": 1}, False),
        (Options, {"depth": 1}, {"depth": 1}, False),
        (int, 3, 3, True),
        (Colour, Colour.RED, "red", True),
        (date, date(2026, 1, 31), "2026-01-31", True),
        (Point | None, None, None, True),
        (tuple[int, str], (1, "a"), [1, "a"], True),
        (float, 1, 1.0, True),
    ],
    ids=str,
)
def test_a_result_is_what_its_schema_says(hint, returned, result, wrapped):
    class Shop:
        @tool
        def give(self):
            return returned

    Shop.give.__annotations__["return"] = hint
    schema = tool_of(Shop).output_schema
    assert schema["type"] == "object"
    assert ("x-fastmcp-wrap-result" in schema) is wrapped
    assert called(Shop(), "give").result == result


def test_of_an_array_no_output_schema_is_told_and_it_is_given_as_it_is():
    class Shop:
        @tool
        def give(self) -> np.ndarray:
            return np.arange(3)

    assert tool_of(Shop).output_schema is None
    assert called(Shop(), "give").result.tolist() == [0, 1, 2]


# --- classes ---------------------------------------------------------------------------------------------


def test_two_methods_of_one_name_are_tools_of_two_modes():
    class Shop:
        @tool(mode="simulation")
        def find(self) -> str:
            return "a toy"

        @tool(mode="production")
        def find(self, really: bool = True) -> str:  # noqa: F811
            return "the thing"

    box = Toolbox(Shop())
    action = CallToolAction(tool_name="find")
    assert (box.call(action, "simulation").result, box.call(action, "production").result) == ("a toy", "the thing")
    assert "really" in box.tools("production")[0].input_schema["properties"]
    assert "really" not in box.tools("simulation")[0].input_schema["properties"]


def test_a_subclass_has_the_tools_of_its_base_overrides_them_and_drops_them():
    class Base:
        @tool
        def find(self, query: str) -> str:
            return "base"

        @tool
        def drop(self) -> str:
            return "base"

    class Derived(Base):
        def find(self, query: str, limit: int = 1) -> str:
            return "derived"

        drop = None

        @tool
        def more(self) -> str:
            return "more"

    assert [one.name for one in Toolbox(Derived()).tools()] == ["find", "more"]
    assert "limit" in Toolbox(Derived()).tools()[0].input_schema["properties"]
    assert called(Derived(), "find", query="x").result == "derived"
    assert called(Base(), "find", query="x").result == "base"


def test_a_decorated_method_is_still_the_method_and_may_be_static_or_of_the_class():
    class Shop:
        name = "shop"

        @tool
        def plus(self, a: int) -> int:
            return a + 1

        @tool
        @staticmethod
        def minus(a: int) -> int:
            return a - 1

        @classmethod
        @tool
        def who(cls) -> str:
            return cls.name

    assert (Shop().plus(1), Shop.minus(1), Shop().who()) == (2, 0, "shop")
    assert called(Shop(), "plus", a=1).result == 2
    assert called(Shop(), "minus", a=1).result == 0
    assert called(Shop(), "who").result == "shop"


def test_a_prompt_is_described_like_a_tool():
    class Shop:
        @prompt(title="Review")
        def review(self, code: str, strict: bool = False) -> str:
            """Review code.

            Args:
                code: What to look at.
            """
            return code

    (one,) = declared(Shop)
    assert one.function.prompt == Prompt(
        name="review",
        title="Review",
        description="Review code.",
        arguments=[
            {"name": "code", "description": "What to look at.", "required": True},
            {"name": "strict", "description": "", "required": False},
        ],
    )
    assert Toolbox(Shop()).tools() == []
