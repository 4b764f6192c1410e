"""The exception tree: what a code stands for, and that an error is the same on both sides of the wire."""

import builtins
import json
import pickle
import re
from typing import Any

import pytest

from openenv import errors
from openenv.errors import ExecutionError, InvalidRequestError, RequestError, SessionCapacityError
from openenv.protocol import encoding
from openenv.protocol.codes import WSErrorCode

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.OpenEnvError)
}

CAUGHT_AS = [
    ("ConfigurationError", ValueError),
    ("ConcurrencyConfigurationError", ValueError),
    ("RequestError", RuntimeError),
    ("SerializationError", ValueError),
    ("SessionLost", ConnectionError),
    ("ConnectionFailedError", ConnectionError),
    ("BudgetExceededError", TimeoutError),
    ("ProviderError", RuntimeError),
    ("ProviderNotReadyError", TimeoutError),
    ("EngineUnavailableError", ConnectionError),
    ("LeaseTimeoutError", TimeoutError),
]


@pytest.mark.parametrize(("name", "builtin"), CAUGHT_AS)
def test_an_except_clause_of_an_existing_program_still_catches(name, builtin):
    with pytest.raises(builtin):
        raise CLASSES[name]("x")


def test_the_tree_in_the_docstring_is_the_tree_in_the_code():
    stack, drawn = [], {}
    for line in re.findall(r"^[│├└─ ]*\w+.*$", errors.__doc__.split("```")[1], re.MULTILINE):
        depth = len(re.match(r"[│├└─ ]*", line)[0]) // 4
        name, bases = re.match(r"[│├└─ ]*(\w+)(?: \((\w+)\))?", line).groups()
        stack[depth:] = [name]
        drawn[name] = {stack[depth - 1] if depth else "Exception"} | ({bases} if bases else set())
    in_code = {name: {base.__name__ for base in cls.__bases__} for name, cls in CLASSES.items()}
    assert drawn == in_code


def test_every_code_of_the_wire_has_an_exception():
    assert {code.value for code in WSErrorCode} <= errors.RequestError.by_code.keys()


@pytest.mark.parametrize("code", errors.RequestError.by_code)
def test_an_error_is_the_same_class_and_content_on_the_other_side(code):
    sent = errors.RequestError.by_code[code]("what happened", code=code, error_id="e1", retry_after=2.0)
    received = RequestError.from_wire(sent.to_wire())
    assert type(received) is type(sent)
    assert received.code == code
    assert received.to_wire() == sent.to_wire()
    again = pickle.loads(pickle.dumps(received))
    assert (type(again), again.to_wire()) == (type(sent), sent.to_wire())
    assert (sent.received, received.received, again.received) == (False, True, True)


def test_what_only_one_class_has_travels_too():
    sent = SessionCapacityError("full", active_sessions=2, max_sessions=2)
    received = RequestError.from_wire(sent.to_wire())
    assert (received.active_sessions, received.max_sessions) == (2, 2)
    failed = RequestError.from_wire(ExecutionError("KeyError: 'x'", exception="KeyError").to_wire())
    assert failed.exception == "KeyError"
    invalid = RequestError.from_wire(InvalidRequestError("bad", errors=[{"loc": ["a"]}]).to_wire())
    assert invalid.errors == [{"loc": ["a"]}]


def test_the_text_names_code_and_id():
    assert str(ExecutionError("boom", error_id="abc")) == "boom (code: EXECUTION_ERROR, error id abc)"
    assert str(errors.NotResetError("first")) == "first (code: NOT_RESET)"
    assert str(errors.ConfigurationError("wrong")) == "wrong"


@pytest.mark.parametrize(
    "data",
    [None, 5, "text", [], {}, {"code": 7}, {"code": None, "message": None}, {"code": "NEW_IN_2030"}],
    ids=repr,
)
def test_an_error_that_is_not_understood_is_still_an_error(data):
    assert isinstance(RequestError.from_wire(data), RequestError)
    assert RequestError.from_wire({"code": "NEW_IN_2030"}).code == "NEW_IN_2030"


class Odd:
    def __repr__(self) -> str:
        raise LookupError("no repr either")


@pytest.mark.parametrize("nasty", ["lone \ud800", Odd(), float("nan"), b"\xff", {"\udfff": (1, Odd())}], ids=type)
def test_an_error_can_always_be_encoded(nasty):
    sent = encoding.encode_error(InvalidRequestError("what happened", errors=[{"loc": [nasty]}]))
    assert RequestError.from_wire(json.loads(sent)).message == "what happened"
    text = encoding.encode_error(ExecutionError("lone \ud800"))
    assert json.loads(text)["message"] == "lone \\ud800"


def test_no_exception_hides_one_of_python():
    assert not CLASSES.keys() & vars(builtins).keys()


@pytest.mark.parametrize("levels", [200, 1000, 100_000])
def test_an_error_that_tells_of_something_nested_without_end_is_cut_short(levels):
    nested: list[Any] = []
    for _ in range(levels):
        nested = [nested]
    told = json.loads(encoding.encode_error(InvalidRequestError("what happened", errors=nested)))
    assert told["message"] == "what happened"
