"""What the shape of an environment class means, read once from the class."""

import inspect
from typing import Any

import pytest
from tests import shapes
from tests.toys import Add, Count, Tally

from openenv.environment import Environment
from openenv.environment.adapter import Adapter, Shape
from openenv.errors import ConfigurationError, ExecutionError
from openenv.models import Action, Observation, State, StepResult


async def resolved(value: Any) -> Any:
    return await value if inspect.isawaitable(value) and not isinstance(value, State | StepResult) else value


@pytest.mark.parametrize("environment", shapes.SHAPES)
async def test_every_shape_plays_the_same_episode(environment):
    adapter = Adapter(environment())
    action = adapter.shape.action if inspect.isclass(adapter.shape.action) else Add

    first = adapter.result(await resolved(adapter.bind_reset()()))
    assert (first.observation.total, first.reward, first.done) == (0, None, False)

    second = adapter.result(await resolved(adapter.bind_step(action(amount=3))()))
    assert (second.observation.total, second.reward, second.done) == (3, 3.0, False)

    last = adapter.result(await resolved(adapter.bind_step(action(amount=7))()))
    assert (last.observation.total, last.reward, last.done) == (10, 7.0, True)

    state = await resolved(adapter.state())
    assert (state.step_count, state.total) == (2, 10)
    assert await resolved(adapter.close()) is None


@pytest.mark.parametrize(
    ("environment", "types"),
    [
        (shapes.SyncObservation, (Add, Count, Tally)),
        (shapes.AnnotationsOnly, (Add, Count, Tally)),
        (shapes.AnnotatedByStepResult, (Add, Count, Tally)),
        (shapes.UnionAction, (Add | shapes.Double, Count, Tally)),
        (shapes.UnionAnnotation, (Add | shapes.Double, Count, Tally)),
        (shapes.DuckTyped, (Add, Count, State)),
        (shapes.DataclassModels, (shapes.AddData, shapes.CountData, State)),
    ],
)
def test_the_types_are_read_from_type_arguments_or_annotations(environment, types):
    shape = Shape.of(environment)
    assert (shape.action, shape.observation, shape.state) == types


@pytest.mark.parametrize(
    ("environment", "coroutines"),
    [
        (shapes.SyncObservation, set()),
        (shapes.AsyncObservation, {"reset", "step"}),
        (shapes.AsyncEverything, {"reset", "step", "state"}),
        (shapes.AsyncResetSyncStep, {"reset"}),
        (shapes.StepAsyncOverride, {"step"}),
        (shapes.BothAsyncOverrides, {"reset", "step"}),
        (shapes.StateMethod, set()),
    ],
)
def test_which_verbs_are_coroutines_is_known_from_the_class(environment, coroutines):
    assert Shape.of(environment).coroutines == coroutines


def test_type_arguments_go_before_annotations_and_reach_subclasses():
    class Both(Environment[Add, Count, Tally]):
        def reset(self) -> Observation:
            return Count(total=0)

        def step(self, action: Action) -> Observation:
            return Count(total=0)

        @property
        def state(self) -> State:
            return State()

    class Below(Both):
        pass

    for cls in (Both, Below):
        shape = Shape.of(cls)
        assert (shape.action, shape.observation, shape.state) == (Add, Count, Tally)


def test_undeclared_types_are_the_base_models():
    class Untyped(Environment):
        def reset(self): ...

        def step(self, action): ...

        state = None

    shape = Shape.of(Untyped)
    assert (shape.action, shape.observation, shape.state) == (Action, Observation, State)


def test_annotations_that_cannot_be_resolved_are_no_annotations():
    class Unresolvable(Environment):
        def reset(self) -> "NoSuchName": ...  # noqa: F821

        def step(self, action: "NoSuchName"): ...  # noqa: F821

        state = None

    assert Shape.of(Unresolvable).action is Action


@pytest.mark.parametrize("missing", ["reset", "step"])
def test_a_class_without_a_verb_is_no_environment(missing):
    methods = {name: lambda self: None for name in ("reset", "step") if name != missing}
    with pytest.raises(ConfigurationError, match=rf"Lacking has no {missing}\(\); an environment needs"):
        Shape.of(type("Lacking", (), methods))


@pytest.mark.parametrize("returned", [None, {"total": 1}, (1, 2.0, False, {}), "text", Tally()], ids=repr)
def test_what_is_neither_observation_nor_result_is_an_error_that_says_what_to_return(returned):
    adapter = Adapter(shapes.SyncObservation())
    with pytest.raises(ExecutionError, match="return an Observation or a StepResult") as failed:
        adapter.result(returned)
    assert type(returned).__name__ in failed.value.message


async def test_an_error_inside_the_state_property_is_not_taken_for_a_missing_state():
    class Broken(shapes.SyncObservation):
        @property
        def state(self):
            return self.no_such_attribute

    with pytest.raises(AttributeError, match="no_such_attribute"):
        Adapter(Broken()).state()


def test_nothing_is_inspected_while_messages_flow(monkeypatch):
    adapter = Adapter(shapes.SyncObservation())

    def inspected(*_: Any) -> None:
        raise AssertionError("looked at a signature")

    monkeypatch.setattr(inspect, "signature", inspected)
    monkeypatch.setattr(inspect, "iscoroutinefunction", inspected)
    adapter.result(adapter.bind_reset(seed=1, options={"x": 1})())
    adapter.result(adapter.bind_step(Add(), timeout_s=1.0)())
    adapter.state()


def test_the_methods_of_the_base_work_without_a_transform_or_a_rubric():
    environment = shapes.NoSuperInit()
    observation = Count(total=1)
    assert environment._apply_transform(observation) is observation
    assert environment._apply_rubric(Add(), observation) is None
    assert environment._reset_rubric() is None
    assert environment.close() is None
    assert environment.get_metadata().name == "NoSuperInit"


async def test_the_async_twins_of_the_base_call_the_sync_methods_and_await_what_they_return():
    class Rubric:
        resets = 0

        async def reset(self):
            self.resets += 1

        async def __call__(self, action, observation):
            return 0.5

    environment = shapes.SyncObservation()
    environment.rubric = Rubric()
    await environment._reset_rubric_async()
    assert environment.rubric.resets == 1
    assert await environment._apply_rubric_async(Add(), Count(total=1)) == 0.5
    assert (await environment.reset_async(seed=1)).total == 0
    assert (await environment.step_async(Add(amount=2))).total == 2
    assert (await shapes.AsyncObservation().reset_async()).total == 0
