"""Models decorated with `@dataclass`, the oldest way of writing them."""

import copy
import dataclasses
import pickle
import sys
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import pytest
from pydantic import ValidationError

from openenv.errors import InvalidRequestError
from openenv.models import Action, Observation, State, StepResult
from openenv.protocol import client_codec, codec, encoding


@dataclass
class Move(Action):
    x: int
    y: int = 0
    tags: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Named(Action):
    name: str
    level: int = 1


@dataclass
class Mixed(Observation):
    text: str
    _: KW_ONLY
    score: float = 0.5


@dataclass
class Jump(Move):
    height: float = 1.0


@dataclass
class Progress(State):
    level: int = 0


@dataclass(eq=True, order=False, repr=True, unsafe_hash=False)
class Explicit(Observation):
    text: str = ""


class Undecorated(Move):
    z: int = 0


def test_fields_are_given_by_position_or_name():
    assert Move(1, 2) == Move(x=1, y=2) == Move(1, y=2)
    assert (Move(1).x, Move(1).y, Move(1).tags) == (1, 0, [])
    assert Mixed("a", score=2.0).score == 2.0
    assert Jump(1, 2, ["t"], 3.0) == Jump(x=1, y=2, tags=["t"], height=3.0)
    assert Progress(3).level == 3


def test_a_default_factory_makes_a_new_value_for_each_instance():
    first = Move(1)
    first.tags.append("mine")
    assert Move(1).tags == []


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Move(), "x"),
        (lambda: Move(1, 2, [], 4), "takes 3 positional arguments but 4 were given"),
        (lambda: Move(1, x=2), "multiple values for argument 'x'"),
        (lambda: Named("bolt"), "takes 0 positional arguments but 1 were given"),
        (lambda: Mixed("a", 2.0), "takes 1 positional arguments but 2 were given"),
        (lambda: Move(1, unknown=2), "unknown"),
    ],
)
def test_wrong_arguments_are_refused_as_by_any_dataclass(make, complaint):
    with pytest.raises((TypeError, ValidationError), match=complaint):
        make()


def test_values_are_validated_as_in_any_model():
    assert Move("5").x == 5
    with pytest.raises(ValidationError):
        Move("five")
    move = Move(1)
    with pytest.raises(ValidationError):
        move.x = "five"
    with pytest.raises(ValidationError, match="finite"):
        Mixed("a", reward=float("nan"))


def test_the_fields_of_the_base_are_there_and_are_keywords():
    observation = Mixed("a", reward=1.0, done=True, metadata={"k": 1})
    assert (observation.reward, observation.done, observation.metadata) == (1.0, True, {"k": 1})
    assert Progress(2, episode_id="e", extra_field=7).extra_field == 7


def test_asdict_replace_and_fields_of_the_standard_library_work():
    move = Move(1, 2, ["a"])
    assert [f.name for f in dataclasses.fields(Move)] == ["x", "y", "tags"]
    assert dataclasses.is_dataclass(move)
    assert dataclasses.asdict(move) == {"x": 1, "y": 2, "tags": ["a"]}
    assert dataclasses.astuple(move) == (1, 2, ["a"])
    assert dataclasses.replace(move, y=5) == Move(1, 5, ["a"])
    assert type(dataclasses.replace(Jump(1), height=2.0)) is Jump


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace is of Python 3.13")
def test_copy_replace_works():
    assert copy.replace(Move(1, 2), y=3) == Move(1, 3)


def test_methods_of_the_model_are_kept():
    assert Move(1).model_dump() == {"metadata": {}, "x": 1, "y": 0, "tags": []}
    assert repr(Move(1)) == "Move(metadata={}, x=1, y=0, tags=[])"
    assert Explicit("a") == Explicit(text="a") != Explicit("b")
    assert Move(1) != Jump(1)
    assert Move.__doc__ is None or "Move(" not in Move.__doc__


def test_an_undecorated_subclass_of_a_decorated_one_is_a_plain_model_with_all_fields():
    assert Undecorated(x=1, z=3).model_dump() == {"metadata": {}, "x": 1, "y": 0, "tags": [], "z": 3}


@pytest.mark.parametrize(
    "model",
    [Move(1, 2, ["a"]), Named(name="n"), Mixed("a", score=1.5, reward=2), Jump(1), Progress(3, extra=1)],
    ids=repr,
)
def test_they_survive_the_wire_pickling_and_copying(model):
    decoded = type(model).model_validate_json(encoding.dump_model(model))
    assert decoded == model
    assert type(decoded) is type(model)
    assert pickle.loads(pickle.dumps(model)) == model
    assert copy.deepcopy(model) == model


def test_a_server_and_a_client_understand_them():
    server = codec.ServerCodec(Move | Named, Mixed, Progress)
    client = client_codec.ClientCodec(Move | Named, Mixed, Progress)
    for action in (Move(1, 2), Named(name="n", level=3)):
        received = server.decode(encoding.frame("step", client.payload_json(action)))
        assert received.data == action
        assert type(received.data) is type(action)
    answer = encoding.frame("observation", encoding.encode_result(StepResult(Mixed("hi", score=2.0), 1.0)))
    assert client.result(answer).observation == Mixed("hi", score=2.0, reward=1.0)
    assert server.schema().action["anyOf"][0]["required"] == ["x"]


@dataclass
class Tokens(Action):
    tokens: list[int] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        if not self.tokens:
            raise ValueError("tokens cannot be empty")
        self.count = len(self.tokens)


def test_a_post_init_of_the_author_runs_and_may_refuse():
    assert Tokens([1, 2]).count == 2
    with pytest.raises(ValueError, match="tokens cannot be empty"):
        Tokens()


def test_a_post_init_runs_for_what_comes_over_the_wire_too():
    server = codec.ServerCodec(Tokens, Mixed)
    assert server.decode('{"type":"step","data":{"tokens":[1]}}').data.count == 1
    with pytest.raises(InvalidRequestError, match="tokens cannot be empty"):
        server.decode('{"type":"step","data":{"tokens":[]}}')


def test_a_constructor_of_the_author_is_kept():
    @dataclass
    class Own(Action):
        text: str = ""

        def __init__(self, shout: str, **given: Any) -> None:
            super().__init__(text=shout.upper(), **given)

    assert Own("hi").text == "HI"
