"""JSON Schemas of the types, however odd these are."""

import dataclasses
import datetime
import enum
import json
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel, Field

from echo_env.server.echo_environment import EchoEnvironment
from openenv.environment.adapter import Shape
from openenv.models import Action, Observation, State
from openenv.protocol import codec, schemas
from openenv.protocol import messages as m
from openenv.protocol.unions import members
from python_exec_env.server.python_exec_environment import PythonExecEnvironment


class Foreign:
    """Knows nothing of schemas."""


class Colour(enum.Enum):
    RED = "red"


class Inner(BaseModel):
    value: int


class Tree(Observation):
    children: list["Tree"] = Field([])


class Odd(Observation):
    foreign: Foreign | None = None
    call: Callable[[int], int] | None = None
    array: np.ndarray | None = None
    blob: bytes = b""
    when: datetime.datetime | None = None
    colour: Colour = Colour.RED
    inner: Inner | None = None
    mapping: dict[int, list[Inner]] = Field({})
    anything: Any = None
    several: tuple[int, str] | set[float] | None = None


class First(Action):
    kind: Literal["first"] = "first"
    inner: Inner


class Second(Action):
    kind: Literal["second"] = "second"


@dataclasses.dataclass
class Decorated(Observation):
    text: str
    number: int = dataclasses.field(default=3)


@pytest.mark.parametrize(
    "annotation", [Odd, Tree, Decorated, State, First | Second, Odd | Decorated, dict[str, Any]]
)
def test_any_type_has_a_schema_that_is_json(annotation):
    schema = schemas.json_schema(annotation)
    assert json.loads(json.dumps(schema)) == schema


def test_a_field_of_a_foreign_class_is_described_as_anything():
    properties = schemas.json_schema(Odd)["properties"]
    assert {} in properties["foreign"]["anyOf"]
    assert {} in properties["call"]["anyOf"]
    assert properties["anything"].keys() <= {"title", "default"}


def test_the_schema_says_what_is_required_and_what_else_is_allowed():
    assert schemas.json_schema(Decorated)["required"] == ["text"]
    assert schemas.json_schema(Decorated)["additionalProperties"] is False
    assert schemas.json_schema(State).get("additionalProperties", True) in (True, {})


def test_docstrings_reach_the_schema():
    assert schemas.json_schema(Shape.of(PythonExecEnvironment).observation)["description"].startswith(
        "What the program"
    )


@pytest.mark.parametrize("environment", [EchoEnvironment, PythonExecEnvironment])
def test_the_environments_of_this_project_are_described(environment):
    shape = Shape.of(environment)
    schema = codec.ServerCodec(shape.action, shape.observation, shape.state).schema()
    assert len(schema.action["anyOf"]) == len(members(shape.action))
    assert schema.observation["properties"].keys() == shape.observation.model_fields.keys()
    assert schema.reset_observation == schema.observation


def test_a_reset_may_have_an_observation_of_its_own():
    schema = codec.ServerCodec(First, Odd, State, Decorated).schema()
    assert schema.reset_observation["title"] == "Decorated"
    assert schema.observation["title"] == "Odd"


def test_a_body_with_schemas_in_place_has_no_loose_references():
    for observation in (Odd, Tree, Decorated):
        body = schemas.inline_schema(m.ResultData, observation=schemas.json_schema(observation))
        assert "$ref" not in json.dumps(body)
        assert "$defs" not in json.dumps(body)
        assert body["properties"]["observation"]["title"] == observation.__name__
    step = schemas.inline_schema(m.StepRequest, action=schemas.json_schema(First | Second))
    assert "$ref" not in json.dumps(step)
    assert json.dumps(step).count('"value"') >= 1
