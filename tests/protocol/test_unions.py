"""Which member of a union of actions a payload means."""

import json
from typing import Annotated, Any, Literal, Union

import numpy as np
import pytest
from pydantic import Field

from openenv.errors import InvalidRequestError
from openenv.mcp import CallToolAction, ListToolsAction
from openenv.models import Action, Observation, State, StepResult
from openenv.protocol import client_codec, codec, encoding
from openenv.protocol.unions import members


class Walk(Action):
    steps: int


class Look(Action):
    """Takes nothing."""


class Say(Action):
    text: str
    loud: bool = False


class Whisper(Action):
    text: str


class Shout(Action):
    text: str
    loud: bool = True


class Paint(Action):
    pixels: np.ndarray
    note: Any = None


class Blob(Action):
    blob: bytes


class Aliased(Action):
    class_: int = Field(alias="class")


class Up(Action):
    kind: Literal["up"] = "up"
    by: int = 1


class Down(Action):
    kind: Literal["down", "fall"] = "down"
    by: int = 1


class Loose(Action):
    type: str = "anything"
    steps: int = 0


def server(union: Any) -> codec.ServerCodec:
    return codec.ServerCodec(union, Observation)


def decide(union: Any, payload: Any) -> Action:
    return server(union).decode(json.dumps({"type": "step", "data": payload})).data


DECIDED = [
    (Walk | Look, {"steps": 2}, Walk(steps=2)),
    (Walk | Look, {}, Look()),
    (Walk | Look, {"metadata": {"x": 1}}, Look(metadata={"x": 1})),
    (Walk | Say, {"text": "a", "loud": True}, Say(text="a", loud=True)),
    (Union[Walk, Say], {"steps": 1}, Walk(steps=1)),  # noqa: UP007
    (Annotated[Walk | Say, "note"], {"steps": 1}, Walk(steps=1)),
    ([Walk, Say], {"steps": 1}, Walk(steps=1)),
    (Walk | None, {"steps": 1}, Walk(steps=1)),
    (Whisper | Say, {"text": "a", "loud": True}, Say(text="a", loud=True)),
    (Whisper | Say, {"type": "Whisper", "text": "a"}, Whisper(text="a")),
    (Shout | Say, {"type": "Say", "text": "a"}, Say(text="a")),
    (Shout | Say, {"text": "a", "type": "Shout"}, Shout(text="a")),
    (Up | Down, {"kind": "up"}, Up()),
    (Up | Down, {"kind": "fall", "by": 2}, Down(kind="fall", by=2)),
    (Walk | CallToolAction, {"type": "call_tool", "tool_name": "t"}, CallToolAction(tool_name="t")),
    (CallToolAction | ListToolsAction, {"type": "list_tools"}, ListToolsAction()),
    (Walk | ListToolsAction, {"type": "Walk", "steps": 1}, Walk(steps=1)),
    (Walk | Aliased, {"class": 1}, Aliased(class_=1)),
    (Walk | Aliased, {"class_": 1}, Aliased(class_=1)),
    (Look | Loose, {"type": "own field", "steps": 1}, Loose(type="own field", steps=1)),
]


@pytest.mark.parametrize(("union", "payload", "action"), DECIDED, ids=lambda value: repr(value)[:60])
def test_a_payload_means_the_one_member_it_fits_or_names(union, payload, action):
    decided = decide(union, payload)
    assert decided == action
    assert type(decided) is type(action)


REFUSED = [
    (Shout | Say, {"text": "a"}, "union_ambiguous", 'add "type" with the class name'),
    (Whisper | Say, {"text": "a"}, "union_ambiguous", "Whisper, Say"),
    (Walk | Say, {"other": 1}, "union_no_match", "fit none of Walk, Say"),
    (Walk | Say, {}, "union_no_match", "fit none"),
    (Walk | Say, {"steps": 1, "text": "a"}, "union_no_match", "fit none"),
    (Walk | Say, {"type": "Jump", "steps": 1}, "union_no_match", "fit none"),
    (Walk | Say, {"type": ["Walk"], "steps": 1}, "union_no_match", "fit none"),
    (Walk | Say, 5, "dict_type", "dictionary"),
    (Walk | Say, None, "dict_type", "dictionary"),
    (Walk | Say, [{"steps": 1}], "dict_type", "dictionary"),
    (Walk | Say, {"steps": "many"}, "int_parsing", "steps"),
    (Walk | Say, {"type": "Walk", "steps": "many"}, "int_parsing", "steps"),
    (Walk | Say, {"type": "Walk"}, "missing", "steps"),
    (Up | Down, {"by": 1}, "union_tag_not_found", "kind"),
    (Up | Down, {"kind": "left"}, "union_tag_invalid", "left"),
    (Up | Down, {"kind": "up", "by": "much"}, "int_parsing", "by"),
]


@pytest.mark.parametrize(("union", "payload", "kind", "told"), REFUSED, ids=lambda value: repr(value)[:60])
def test_a_payload_that_fits_none_or_several_is_refused(union, payload, kind, told):
    with pytest.raises(InvalidRequestError) as refused:
        decide(union, payload)
    assert refused.value.code == "VALIDATION_ERROR"
    assert refused.value.errors[0]["type"] == kind
    assert told in refused.value.message


@pytest.mark.parametrize(
    ("union", "actions"),
    [
        (Walk | Look, [Walk(steps=1), Look(), Look(metadata={"x": b"\xff"})]),
        (Whisper | Say, [Whisper(text="a"), Say(text="a"), Say(text="a", loud=True)]),
        (Shout | Say, [Shout(text="a"), Say(text="a", metadata={"x": 1})]),
        (Up | Down, [Up(by=3), Down(), Down(kind="fall")]),
        (
            Walk | CallToolAction | ListToolsAction,
            [Walk(steps=1), CallToolAction(tool_name="t"), ListToolsAction()],
        ),
        (Paint | Blob, [Paint(pixels=np.arange(3), note=(b"\xff")), Blob(blob=b"\xff\x00")]),
        (Walk | Aliased, [Aliased(class_=3)]),
        ([Walk, Say], [Walk(steps=2)]),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_an_action_a_client_sends_is_the_action_the_server_gets(union, actions):
    client = client_codec.ClientCodec(union, Observation, State)
    for action in actions:
        received = server(union).decode(encoding.frame("step", client.payload_json(action))).data
        assert type(received) is type(action)
        assert received == action
        again = (
            server(union).decode(json.dumps({"type": "step", "data": json.loads(client.payload_json(action))})).data
        )
        assert again == action


def test_a_union_of_observations_is_decided_the_same_way():
    class Seen(Observation):
        picture: Any

    class Heard(Observation):
        sound: str

    client = client_codec.ClientCodec(Walk, Seen | Heard, State)
    for observation in (Seen(picture=np.arange(2)), Heard(sound="boo")):
        sent = encoding.encode_result(StepResult(observation, 1.0, True))
        received = client.result(encoding.frame("observation", sent)).observation
        assert received == observation.model_copy(update={"reward": 1.0, "done": True})
        parsed = client.parse_result(client_codec.reply_data(encoding.frame("observation", sent))).observation
        assert parsed == received


def test_the_schema_of_a_union_shows_every_member():
    schema = server(Walk | Say).schema().action
    assert [sorted(member["properties"]) for member in schema["anyOf"]] == [
        ["metadata", "steps"],
        ["loud", "metadata", "text"],
    ]
    assert server(Up | Down).schema().action["discriminator"]["propertyName"] == "kind"


def test_members_of_anything():
    assert members(Walk) == (Walk,)
    assert members(Walk | Say | None) == (Walk, Say)
    assert members([Walk, Say]) == members((Walk, Say)) == (Walk, Say)
