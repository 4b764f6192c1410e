"""Models and dataclasses of other libraries as fields: what they hold survives the wire as it does in ours."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pydantic
import pydantic.dataclasses
import pytest

from openenv.models import Action, Model, Observation, State, StepResult
from openenv.protocol import client_codec, encoding
from openenv.protocol.formats import FORMATS, JSON, unpack

FRAME = np.arange(6, dtype=np.uint8).reshape(2, 3)
RAW = b"\x00\xff"
TAG_LIKE = {"__bytes__": "AAEC"}


class Picture(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)

    pixels: np.ndarray
    raw: bytes = RAW
    note: Any = None


class Album(pydantic.BaseModel):
    kind: Literal["album"] = "album"
    pictures: list[Picture] = []
    made: datetime.datetime = datetime.datetime(2020, 1, 2)


class Loose(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")


class Harmless(pydantic.BaseModel):
    name: str = "x"
    made: datetime.timedelta = datetime.timedelta(seconds=3)


@dataclass
class Sample:
    pixels: np.ndarray
    raw: bytes = RAW
    note: Any = None
    picture: Picture | None = None
    more: list[Sample] = field(default_factory=list)


@dataclass
class Drawn:
    pixels: np.ndarray


@pydantic.dataclasses.dataclass(config={"arbitrary_types_allowed": True})
class Checked:
    pixels: np.ndarray
    raw: bytes = RAW


class Ours(Model):
    picture: Picture
    raw: bytes = RAW


def picture(note: Any = None) -> Picture:
    return Picture(pixels=FRAME, note=note)


FIELDS = {
    "a model": (Picture, picture(note={"deep": [FRAME, RAW]})),
    "what looks like a tag": (Picture, picture(note=TAG_LIKE)),
    "a model in a model": (Album, Album(pictures=[picture(), picture(RAW)])),
    "a model with any fields": (Loose, Loose(frame=FRAME, raw=RAW)),
    "one without arrays or bytes": (Harmless, Harmless()),
    "an optional model": (Picture | None, picture()),
    "no model": (Picture | None, None),
    "one of several": (Harmless | Album | str, Album(pictures=[picture()])),
    "a text instead": (Album | str, "text"),
    "models by name": (dict[str, list[Picture]], {"a": [picture()]}),
    "a dataclass": (Sample, Sample(FRAME, note=FRAME, picture=picture(), more=[Sample(FRAME)])),
    "a dataclass of pydantic": (Checked, Checked(FRAME)),
    "a model of ours around one": (Ours, Ours(picture=picture())),
}


def plain(value: Any) -> Any:
    """Return a value as a tree that can be compared, arrays as lists of numbers with their type."""
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.tolist()
    if isinstance(value, pydantic.BaseModel):
        return type(value), plain({**vars(value), **(value.model_extra or {})})
    if hasattr(value, "__dataclass_fields__"):
        return type(value), plain(vars(value))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("format_", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("name", FIELDS)
def test_it_survives_in_an_observation_and_in_an_action(name, format_):
    type_, value = FIELDS[name]
    observation = pydantic.create_model("Seen", __base__=Observation, x=(type_, ...))
    action = pydantic.create_model("Do", __base__=Action, x=(type_, ...))
    client = client_codec.ClientCodec(action, observation, State)

    data = format_.pack_result(StepResult(observation(x=value)))
    frame = (
        encoding.frame("observation", data) if format_ is JSON else {"type": "observation", "data": unpack(data)}
    )
    assert plain(client.result(frame).observation.x) == plain(value)

    packed = client.pack_action(action(x=value), format_)
    got = action.model_validate_json(packed) if format_ is JSON else action.model_validate(unpack(packed))
    assert plain(got.x) == plain(value)


def test_the_class_of_the_other_library_is_left_as_it_was():
    pydantic.create_model("Seen", __base__=Observation, x=(Album, ...), y=(Harmless, ...))
    assert Harmless().model_dump_json() == '{"name":"x","made":"PT3S"}'
    assert Album().model_dump_json() == '{"kind":"album","pictures":[],"made":"2020-01-02T00:00:00"}'
    with pytest.raises(pydantic.ValidationError):
        Picture.model_validate_json('{"pixels":{"__ndarray__":"AAEC","dtype":"|u1","shape":[3]}}')


def test_the_schema_tells_the_fields():
    observation = pydantic.create_model("Seen", __base__=Observation, y=(Loose, ...), z=(Drawn, ...))
    for mode in ("validation", "serialization"):
        schema = observation.model_json_schema(mode=mode)
        assert schema["properties"]["y"]["$ref"] == "#/$defs/Loose"
        assert "__ndarray__" in schema["$defs"]["Drawn"]["properties"]["pixels"]["properties"]
