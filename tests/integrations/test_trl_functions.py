"""Tools as functions: what transformers tells a model of them is what the environment says of them."""

import inspect
from types import SimpleNamespace
from typing import Literal

import pytest

pytest.importorskip("transformers", reason="needs the extra openenv[trl]")

from pydantic import BaseModel, Field
from transformers.utils import get_json_schema

from openenv.integrations.trl.functions import ToolFunction
from openenv.mcp.actions import ActionTools
from openenv.mcp.types import Tool
from openenv.models import Action, Observation

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "error:::openenv")


def bound(tool):
    """Return the function as TRL has it, a method of an object that returns what it was called with."""
    function = ToolFunction.of(tool)
    method = function.method(lambda self, name, arguments, frame: (self, name, function.own(arguments), frame))
    return method.__get__(SimpleNamespace())


def told(tool):
    """Return what a model is told of a tool."""
    return get_json_schema(bound(tool))["function"]


class Place(BaseModel):
    x: int
    y: int = Field(default=0, ge=0)


class Move(Action):
    """Move a piece.

    Returns: nothing that matters.
    """

    piece: Literal["king", "queen"] = Field(description="Which piece (choices: all of them). Args: none.")
    to: Place
    over: list[Place] = Field(default_factory=list)
    speed: float = Field(default=1.0, gt=0, le=10, description="Squares\n  in a second: any number.")
    quiet: bool = False
    words: str | None = Field(default=None, max_length=5)
    tags: dict[str, int] = Field(default_factory=dict)
    steps: tuple[int, int] | Literal["all"] = "all"


def test_all_that_a_schema_says_is_told():
    (tool,) = ActionTools(Move, Observation).tools
    function = told(tool)
    assert function["name"] == "move"
    assert function["description"].startswith("Move a piece.")
    fields = function["parameters"]["properties"]
    assert function["parameters"]["required"] == ["piece", "to"]
    assert (fields["piece"]["type"], fields["piece"]["enum"]) == ("string", ["king", "queen"])
    assert fields["piece"]["description"] == "Which piece (one of: all of them). Args - none."
    assert fields["to"]["type"] == "object"
    assert '"x"' in fields["to"]["description"]
    assert (fields["over"]["type"], fields["over"]["items"]) == ("array", {"type": "object"})
    assert fields["speed"]["type"] == "number"
    assert fields["speed"]["description"] == (
        'Squares in a second: any number. ({"exclusiveMinimum":0,"maximum":10})'
    )
    assert fields["quiet"] == {"type": "boolean", "description": "Quiet"}
    assert fields["words"]["type"] == "string"
    assert fields["words"]["nullable"] is True
    assert fields["tags"]["type"] == "object"
    assert {"type": "string", "enum": ["all"]} in fields["steps"]["anyOf"]


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": ["integer", "null"]},
        {"type": "array"},
        {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        {"anyOf": [{"type": "integer"}, {}]},
        {"oneOf": [{"const": 1}, {"const": "one"}, {"type": "null"}]},
        {"enum": [1, "a", None, True]},
        {"enum": [{"not": "a scalar"}]},
        {"$ref": "#/$defs/Tree"},
        {"$ref": "#/$defs/Nowhere"},
        {"type": "unheard of"},
        True,
        {"enum": []},
        {"description": None, "title": ""},
    ],
)
def test_no_schema_is_too_odd_to_be_told(schema):
    tree = {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}}}
    nest = {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/Nest"}}, {"type": "integer"}]}
    tool = Tool(
        name="odd",
        input_schema={
            "properties": {"it": schema, "nest": {"$ref": "#/$defs/Nest"}},
            "$defs": {"Tree": tree, "Nest": nest},
        },
    )
    assert told(tool)["parameters"]["properties"].keys() == {"it", "nest"}


def test_names_that_python_does_not_allow_are_told_as_others_and_called_as_they_are():
    names = ["from", "from_", "self", "return", "2nd", "is-it", "é", ""]
    tool = Tool(name="files.read-all", input_schema={"properties": {name: {"type": "string"} for name in names}})
    said = told(tool)
    assert said["name"] == "files.read-all"
    shown = list(said["parameters"]["properties"])
    assert len(set(shown)) == len(names)
    _, name, arguments, _ = bound(tool)(**{one: one for one in shown})
    assert (name, list(arguments)) == ("files.read-all", names)


@pytest.mark.parametrize("name", ["get_reward", "_hidden", "__init__", "reset"])
def test_a_tool_called_like_a_part_of_the_object_gets_another_name(name):
    function = ToolFunction.of(Tool(name=name))
    assert function.name == f"tool_{name}"
    assert function.tool.name == name


def test_a_tool_that_says_nothing_of_itself_is_told_by_its_name():
    assert told(Tool(name="go"))["description"] == "go."
    assert told(Tool(name="go", title="Go there"))["description"] == "Go there."


def test_it_takes_whatever_it_is_called_with_and_knows_who_called():
    method = bound(Tool(name="go", input_schema={"properties": {"to": {}}, "required": ["to"]}))
    _, _, arguments, frame = method(anything=1, self=2)
    assert arguments == {"anything": 1, "self": 2}
    assert frame is inspect.currentframe()
