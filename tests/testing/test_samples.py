"""Actions made up from their classes."""

from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from openenv.errors import ConfigurationError
from openenv.models import Action
from openenv.testing import sample_actions


class Direction(Enum):
    UP = "up"
    DOWN = "down"


class Point(BaseModel):
    x: int
    y: Annotated[float, Field(gt=3)]


class Everything(Action):
    text: str
    long_text: Annotated[str, Field(min_length=5)]
    whole: int
    bounded: Annotated[int, Field(ge=7, le=9)]
    above: Annotated[int, Field(gt=7)]
    below: Annotated[float, Field(le=-2)]
    under: Annotated[int, Field(lt=-2)]
    yes: bool
    kind: Literal["a", "b"]
    direction: Direction
    maybe: int | None
    nothing: None
    point: Point
    points: Annotated[list[Point], Field(min_length=2)]
    pair: tuple[int, str]
    table: dict[str, int]
    given: float = 0.5


class Other(Action):
    pass


def test_every_simple_field_gets_a_legal_value():
    (sample,) = sample_actions(Everything)
    assert isinstance(sample, Everything)
    assert (sample.bounded, sample.above, sample.given) == (7, 8, 0.5)
    assert len(sample.points) == 2


def test_each_class_of_a_union_gets_one():
    assert [type(sample) for sample in sample_actions(Everything | Other)] == [Everything, Other]


@pytest.mark.parametrize(
    "field",
    [
        (Annotated[str, Field(pattern="x+")], ...),
        (bytes, ...),
        (Any, ...),
        (Annotated[int, Field(multiple_of=7, gt=1)], ...),
    ],
)
def test_a_value_that_would_have_to_be_guessed_is_not(field):
    from pydantic import create_model

    action = create_model("Hard", __base__=Action, field=field)
    with pytest.raises(ConfigurationError, match="No legal Hard could be made up"):
        sample_actions(action)
