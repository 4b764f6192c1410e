"""NaN and infinity are refused, by the path to them, and never become null."""

import dataclasses
import typing
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, Field, RootModel, ValidationError, computed_field, field_serializer
from pydantic.dataclasses import dataclass as pydantic_dataclass
from tests.toys import Count
from typing_extensions import TypedDict

from openenv.errors import InvalidRequestError, SerializationError
from openenv.models import Action, Observation, State, StepResult
from openenv.protocol import codec, encoding

NAN, INF = float("nan"), float("inf")


class Inner(BaseModel):
    number: float = 0.0


class Outer(BaseModel):
    inner: Inner


class Root(RootModel[float]):
    pass


@dataclasses.dataclass
class Plain:
    number: float = 0.0


@pydantic_dataclass
class Checked:
    number: float = 0.0


class Row(TypedDict):
    number: float


class Pair(typing.NamedTuple):
    number: float


class Scores(Observation):
    number: float = 0.0
    numbers: list[float] = Field([])
    inner: Inner | None = None
    inners: list[Inner] = Field([])
    outers: dict[str, Outer] = Field({})
    plain: Plain | None = None
    checked: Checked | None = None
    row: Row | None = None
    pair: Pair | None = None
    root: Root | None = None
    either: Inner | Plain | None = None


class Anything(Observation):
    value: Any = None


class Push(Action):
    force: float
    inner: Inner | None = None


class Computed(Observation):
    @computed_field
    @property
    def ratio(self) -> float:
        return NAN


class Serialised(Observation):
    ratio: float = 0.0

    @field_serializer("ratio")
    def _serialise(self, ratio: float) -> float:
        return INF


OBSERVATIONS = [
    (Scores(number=NAN), "number"),
    (Scores(number=-INF), "number"),
    (Scores(numbers=[1.0, INF]), "numbers[1]"),
    (Scores(inner=Inner(number=NAN)), "inner.number"),
    (Scores(inners=[Inner(), Inner(number=INF)]), "inners[1].number"),
    (Scores(outers={"k": Outer(inner=Inner(number=NAN))}), "outers.k.inner.number"),
    (Scores(plain=Plain(NAN)), "plain.number"),
    (Scores(checked=Checked(NAN)), "checked.number"),
    (Scores(row={"number": NAN}), "row.number"),
    (Scores(pair=Pair(NAN)), "pair[0]"),
    (Scores(root=Root(NAN)), "root"),
    (Scores(either=Plain(NAN)), "either.number"),
    (Scores(metadata={"deep": [{"x": NAN}]}), "metadata.deep[0].x"),
    (Scores.model_construct(number=NAN), "number"),
    (Computed(), "ratio"),
    (Serialised(), "ratio"),
    (Anything(value=NAN), "value"),
    (Anything(value=[{"x": (1, INF)}]), "value[0].x[1]"),
    (Anything(value=OrderedDict(x=NAN)), "value.x"),
    (Anything(value=np.float32("nan")), "value"),
    (Anything(value=Inner(number=NAN)), "value.number"),
    (Anything(value=[Outer(inner=Inner(number=INF))]), "value[0].inner.number"),
    (Anything(value=Root(NAN)), "value"),
    (Anything(value={"x": Plain(NAN)}), "value.x.number"),
    (Anything(value=Checked(NAN)), "value.number"),
    (Anything(value=Pair(NAN)), "value[0]"),
    (Anything(value=Scores(number=NAN)), "value.number"),
]


@pytest.mark.parametrize(("observation", "path"), OBSERVATIONS, ids=[path for _, path in OBSERVATIONS])
def test_an_observation_with_nan_or_infinity_is_refused_by_the_path_to_it(observation, path):
    with pytest.raises(SerializationError) as refused:
        encoding.encode_result(StepResult(observation))
    name = type(observation).__name__
    assert f"The observation {name} holds NaN or infinity at {path};" in refused.value.message


@pytest.mark.parametrize("value", [NAN, [NAN], {"x": Inner(number=NAN)}, Plain(INF), np.float64("inf")], ids=repr)
def test_infos_metadata_and_states_are_refused_likewise(value):
    for encode, what in (
        (lambda: encoding.encode_result(StepResult(Observation(), info={"k": value})), "info"),
        (lambda: encoding.encode_result(StepResult(Observation(), metadata={"k": value})), "metadata"),
        (lambda: encoding.encode_result(StepResult({"k": value})), "observation"),
        (lambda: encoding.encode_state({"k": value}), "state"),
        (lambda: encoding.encode_state(State(k=value)), "state State"),
    ):
        with pytest.raises(SerializationError, match=f"The {what} holds NaN or infinity at k"):
            encode()


@pytest.mark.parametrize("number", [NAN, INF, -INF, np.float32("nan")], ids=repr)
def test_a_reward_that_is_not_finite_is_refused_when_it_is_set(number):
    with pytest.raises(ValidationError, match="finite"):
        Observation(reward=number)
    with pytest.raises(ValidationError, match="finite"):
        StepResult(Observation(), number)
    observation = Observation()
    with pytest.raises(ValidationError, match="finite"):
        observation.reward = number


@pytest.mark.parametrize("reward", [NAN, INF, -INF, "plenty", [1.0]], ids=repr)
@pytest.mark.parametrize("further", [{}, {"truncated": True}], ids=["plain", "more"])
def test_a_reward_that_was_assigned_is_refused_when_it_is_sent(reward, further):
    result = StepResult(Observation(), 0.5, **further)
    result.reward = reward
    for encode in (encoding.encode_result, encoding.result_data):
        with pytest.raises(SerializationError, match="neither a finite number nor None"):
            encode(result)


def test_words_that_only_look_like_numbers_are_fine():
    observation = Anything(value={"NaN": ["Infinity", ":NaN", "-Infinity", "[NaN]"]}, metadata={"Infinity": "NaN"})
    assert Anything.model_validate_json(encoding.dump_model(observation)) == observation


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999", "-1e400"])
@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"step","data":{"force":%s}}',
        '{"type":"step","data":{"force":1.0,"metadata":{"x":%s}}}',
        '{"type":"step","data":{"force":1.0,"metadata":{"x":[{"y": %s }]}}}',
        '{"type":"reset","data":{"seed":%s}}',
        '{"type":"reset","data":{"option":[%s]}}',
        '{"type":"mcp","data":{"x":%s}}',
    ],
)
def test_a_message_with_nan_or_infinity_is_refused_however_it_is_written(frame, word):
    with pytest.raises(InvalidRequestError):
        codec.ServerCodec(Push, Count).decode(frame % word)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_so_is_one_inside_a_plain_model_of_the_author(word):
    with pytest.raises(InvalidRequestError, match=r"holds NaN or infinity at data\.inner\.number"):
        codec.ServerCodec(Push, Count).decode(f'{{"type":"step","data":{{"force":1,"inner":{{"number":{word}}}}}}}')
