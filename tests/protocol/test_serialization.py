"""Actions from dictionaries, dictionaries from observations."""

import numpy as np
import pytest
from pydantic import Field, ValidationError

from openenv.mcp import CallToolAction, ListToolsAction
from openenv.models import Action, Observation
from openenv.protocol.serialization import (
    deserialize_action,
    deserialize_action_with_preprocessing,
    serialize_observation,
)


class Move(Action):
    to: int
    path: list[float] = Field(default_factory=list)
    options: dict[str, int] = Field(default_factory=dict)
    note: str = ""
    careful: bool = False


class Picture(Observation):
    pixels: np.ndarray
    raw: bytes = b""


def test_an_action_is_made_of_its_fields():
    assert deserialize_action({"to": "3"}, Move) == Move(to=3)
    assert deserialize_action({"type": "list_tools"}, CallToolAction | ListToolsAction) == ListToolsAction()


@pytest.mark.parametrize("fields", [{}, {"to": 1, "how": "fast"}, {"to": "up"}])
def test_fields_that_are_wrong_are_refused(fields):
    with pytest.raises(ValidationError):
        deserialize_action(fields, Move)


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({"to": "3"}, Move(to=3)),
        ({"to": 3, "path": "[1, 2.5]"}, Move(to=3, path=[1, 2.5])),
        ({"to": "3", "path": "1, 2.5"}, Move(to=3, path=[1, 2.5])),
        ({"to": "3", "path": " 7 "}, Move(to=3, path=[7])),
        ({"to": "3", "path": ""}, Move(to=3)),
        ({"to": "3", "options": '{"a": 1}', "careful": "true"}, Move(to=3, options={"a": 1}, careful=True)),
        ({"to": "3", "note": "[1, 2]"}, Move(to=3, note="[1, 2]")),
        ({"to": "3", "metadata": '{"why": "test"}'}, Move(to=3, metadata={"why": "test"})),
    ],
)
def test_what_a_form_sends_is_read_where_a_text_does_not_fit(fields, action):
    assert deserialize_action_with_preprocessing(fields, Move) == action


@pytest.mark.parametrize(
    "fields", [{"to": ""}, {"to": "up"}, {"to": "3", "path": "a, b"}, {"to": "3", "path": "NaN"}, {"how": "fast"}]
)
def test_what_cannot_be_read_is_refused(fields):
    with pytest.raises(ValidationError):
        deserialize_action_with_preprocessing(fields, Move)


def test_an_observation_has_reward_and_done_beside_it():
    pixels = np.zeros((2, 2))
    assert serialize_observation(Picture(pixels=pixels, raw=b"\0", reward=1.5, done=True)) == {
        "observation": {"metadata": {}, "pixels": pytest.approx(pixels), "raw": b"\0"},
        "reward": 1.5,
        "done": True,
    }


def test_metadata_stands_beside_an_observation_where_there_is_any():
    wire = serialize_observation(Observation(metadata={"why": "test"}))
    assert wire["metadata"] == wire["observation"]["metadata"] == {"why": "test"}
