"""Seeds, episode ids and other arguments, declared or not: used, or said not to be used."""

from typing import Any

import pytest
from tests import shapes
from tests.toys import Add, Count

from openenv.environment.adapter import Adapter
from openenv.errors import InvalidRequestError
from openenv.models import StepResult


class Recording(shapes.Base):
    """Remembers what it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.got: dict[str, Any] = {}

    def called(self, **arguments: Any) -> Count:
        self.got = arguments
        return self.start()


class Declares(Recording):
    def reset(self, seed=None, episode_id=None, *, task="none"):
        return self.called(seed=seed, episode_id=episode_id, task=task)

    def step(self, action, timeout_s=None, temperature=0.0):
        return self.called(timeout_s=timeout_s, temperature=temperature)


class DeclaresNothing(Recording):
    def reset(self):
        return self.called()

    def step(self, action):
        return self.called()


class TakesAnything(Recording):
    def reset(self, **kwargs):
        return self.called(**kwargs)

    def step(self, action, **kwargs):
        return self.called(**kwargs)


class SeedAndAnything(Recording):
    def reset(self, seed=None, **kwargs):
        return self.called(seed=seed, **kwargs)

    def step(self, act, /, **kwargs):
        return self.called(**kwargs)


class PositionalOnly(Recording):
    def reset(self, seed=None, /):
        return self.called(seed=seed)

    def step(self, action):
        return self.called()


NOT_REPRODUCIBLE = "reset() does not declare it; this episode is not reproducible"

RESETS = [
    (Declares, {}, {"seed": None, "episode_id": None, "task": "none"}, []),
    (Declares, {"seed": 3, "episode_id": "e"}, {"seed": 3, "episode_id": "e", "task": "none"}, []),
    (Declares, {"seed": 0, "options": {"task": "t"}}, {"seed": 0, "episode_id": None, "task": "t"}, []),
    (
        Declares,
        {"options": {"level": 1}},
        {"seed": None, "episode_id": None, "task": "none"},
        ["level was not used"],
    ),
    (DeclaresNothing, {"seed": 3}, {}, [NOT_REPRODUCIBLE]),
    (DeclaresNothing, {"episode_id": "e"}, {}, ["episode_id was not used"]),
    (DeclaresNothing, {"seed": 3, "options": {"b": 1, "a": 2}}, {}, ["a was", "b was", "seed was"]),
    (DeclaresNothing, {"options": {"self": 1}}, {}, ["self was not used"]),
    (TakesAnything, {"seed": 3, "options": {"x": 1}}, {"seed": 3, "x": 1}, ["only as part of **kwargs"]),
    (TakesAnything, {"options": {"x": 1}}, {"x": 1}, []),
    (SeedAndAnything, {"seed": 3, "options": {"x": 1}}, {"seed": 3, "x": 1}, []),
    (PositionalOnly, {"seed": 3}, {"seed": None}, [NOT_REPRODUCIBLE]),
]


@pytest.mark.parametrize(("environment", "given", "got", "warnings"), RESETS)
def test_a_reset_uses_an_argument_or_warns_that_it_does_not(environment, given, got, warnings):
    adapter = Adapter(environment())
    result = adapter.result(adapter.bind_reset(**given)())
    assert adapter.environment.got == got
    told = result.info.get("warnings", [])
    assert len(told) == len(warnings)
    assert all(expected in text for expected, text in zip(warnings, told, strict=True))


STEPS = [
    (Declares, {"timeout_s": 2.0}, {"timeout_s": 2.0, "temperature": 0.0}, []),
    (Declares, {"options": {"temperature": 1.0}}, {"timeout_s": None, "temperature": 1.0}, []),
    (DeclaresNothing, {"timeout_s": 2.0}, {}, []),
    (DeclaresNothing, {"options": {"x": 1}}, {}, ["x was not used"]),
    (DeclaresNothing, {"options": {"self": 1, "action": 2}}, {}, ["action was not used", "self was not used"]),
    (TakesAnything, {"timeout_s": 2.0, "options": {"x": 1}}, {"timeout_s": 2.0, "x": 1}, []),
    (SeedAndAnything, {"options": {"act": 1}}, {"act": 1}, []),
]


@pytest.mark.parametrize(("environment", "given", "got", "warnings"), STEPS)
def test_a_step_uses_an_argument_or_warns_that_it_does_not(environment, given, got, warnings):
    adapter = Adapter(environment())
    adapter.bind_reset()()
    result = adapter.result(adapter.bind_step(Add(), **given)())
    assert adapter.environment.got == got
    told = result.info.get("warnings", [])
    assert len(told) == len(warnings)
    assert all(expected in text for expected, text in zip(warnings, told, strict=True))


@pytest.mark.parametrize(
    ("environment", "given", "fields"),
    [
        (DeclaresNothing, {"seed": 3}, ["seed"]),
        (DeclaresNothing, {"seed": 3, "episode_id": "e", "options": {"x": 1}}, ["episode_id", "seed", "x"]),
        (Declares, {"options": {"level": 1}}, ["level"]),
    ],
)
def test_strict_refuses_what_is_not_declared_before_anything_runs(environment, given, fields):
    adapter = Adapter(environment(), strict=True)
    with pytest.raises(InvalidRequestError, match="does not take") as refused:
        adapter.bind_reset(**given)
    assert [error["loc"] for error in refused.value.errors] == [[name] for name in fields]
    with pytest.raises(InvalidRequestError, match="does not take x"):
        adapter.bind_step(Add(), options={"x": 1})


def test_strict_lets_pass_what_is_declared():
    adapter = Adapter(Declares(), strict=True)
    assert "warnings" not in adapter.result(adapter.bind_reset(seed=1, options={"task": "t"})()).info


def test_a_warning_belongs_to_the_reset_it_is_about():
    adapter = Adapter(DeclaresNothing())
    assert adapter.result(adapter.bind_reset(seed=1)()).info["warnings"]
    assert adapter.result(adapter.bind_step(Add())()).info == {}
    adapter.bind_reset(seed=1)  # as if this one had failed, so that its result was never made
    assert adapter.result(adapter.bind_reset()()).info == {}


def test_a_result_the_environment_keeps_is_not_written_to():
    class Same(DeclaresNothing):
        kept = StepResult(Count(total=0), info={"own": 1})

        def reset(self):
            return self.kept

    adapter = Adapter(Same())
    assert set(adapter.result(adapter.bind_reset(seed=1)()).info) == {"own", "warnings"}
    assert Same.kept.info == {"own": 1}
