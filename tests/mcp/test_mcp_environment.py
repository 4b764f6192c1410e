"""`MCPEnvironment`: every call of a tool is answered, whoever has written the tool and whatever happens in it."""

import asyncio
import threading
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator
from tests.mcp.tooled import FAILURES, Episode, Shop, call
from tests.servers import wait_until

from openenv.environment import Transform
from openenv.environment.adapter import Adapter, Shape
from openenv.errors import ConfigurationError, InvalidRequestError, WorkspaceLostError
from openenv.mcp import (
    CallToolAction,
    CallToolObservation,
    ListToolsAction,
    ListToolsObservation,
    MCPEnvironment,
    ToolErrorType,
    tool,
)
from openenv.models import Action, Observation, State, StepResult


@pytest.fixture
def shop() -> Shop:
    return Shop()


# --- calls -----------------------------------------------------------------------------------------------


def test_tools_are_listed_and_called(shop):
    tools = shop.step(ListToolsAction()).tools
    assert [one.name for one in tools][:2] == ["add", "add_async"]
    assert shop.step(call("add", a=1)) == CallToolObservation(tool_name="add", result=3)
    assert shop.step(call("add_async", a=1)) == CallToolObservation(tool_name="add_async", result=3)


async def test_a_step_blocks_within_a_running_loop_too_and_has_an_async_form(shop):
    assert shop.step(call("add_async", a=1)).result == 3
    assert (await shop.step_async(call("add_async", a=1))).result == 3
    assert (await shop.step_async(call("add", a=1))).result == 3
    assert (await shop.call_tool("add", {"a": 1})).result == 3
    assert (await shop.list_tools())[0].name == "add"


def test_a_tool_that_awaits_may_call_an_environment_that_blocks():
    class Outer(Episode):
        @tool
        async def ask(self) -> int:
            return Shop().step(call("add_async", a=1)).result

    assert Outer().step(call("ask")).result == 3


def test_a_subclass_need_not_call_the_constructor():
    class Lazy(Episode):
        def __init__(self) -> None:
            self.n = 7

        @tool
        def n_is(self) -> int:
            return self.n

    assert Lazy().step(call("n_is")).result == 7


@pytest.mark.parametrize("name", ["nope", "reset", "step", "", "_step_impl", "add "])
def test_a_name_that_is_not_there_is_answered_with_those_that_are(shop, name):
    answer = shop.step(call(name))
    assert answer.error.error_type is ToolErrorType.TOOL_NOT_FOUND
    assert answer.error.message.startswith(f"Unknown tool: {name!r}. The tools are: add, add_async, ")
    assert (answer.result, answer.reward, answer.done) == (None, None, False)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "a: Field required"),
        ({"a": "zz"}, "a: Input should be a valid integer"),
        ({"a": 1, "quantity": 2}, "quantity: Extra inputs are not permitted"),
        ({"a": None}, "a: Input should be a valid integer"),
        ({"a": {"a": 1}}, "a: Input should be a valid integer"),
        ({"a": float("nan")}, "a: Input should be a finite number"),
        ({"self": 1, "a": 1}, "self: Extra inputs"),
    ],
)
def test_wrong_arguments_are_answered_with_what_is_wrong_and_what_is_expected(shop, arguments, says):
    answer = shop.step(call("add", a=0).model_copy(update={"arguments": arguments}))
    assert answer.error.error_type is ToolErrorType.INVALID_ARGS
    assert says in answer.error.message
    assert answer.error.message.endswith("It takes: a, b (optional)")


@pytest.mark.parametrize("name", ["fail", "fail_async"])
@pytest.mark.parametrize("kind", [e.__name__ for e in FAILURES])
def test_whatever_a_tool_raises_is_answered(shop, name, kind):
    answer = shop.step(call(name, kind=kind))
    assert answer.error.error_type is ToolErrorType.EXECUTION_ERROR
    assert answer.error.message.startswith(f"Error calling tool {name!r}: ")
    assert kind != "ValueError" or answer.error.message.endswith(": no")
    assert shop.step(call("add_async", a=1)).result == 3


def test_a_keyboard_interrupt_of_the_person_at_the_keyboard_is_none_of_a_tool():
    class Interrupted(Episode):
        @tool
        def stop(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Interrupted().step(call("stop"))
    on_thread = asyncio.run(asyncio.to_thread(Interrupted().step, call("stop")))  # as a server calls it
    assert on_thread.error.message == "Error calling tool 'stop': KeyboardInterrupt()"


def test_a_validator_that_breaks_is_a_call_that_failed():
    def broken(value: int) -> int:
        raise RuntimeError("broken")

    class Broken(Episode):
        @tool
        def take(self, a: Annotated[int, AfterValidator(broken)]) -> int:
            return a

    answer = Broken().step(call("take", a=1))
    assert answer.error.message == "Error calling tool 'take': broken"


def test_of_many_tools_a_few_are_told_to_who_asks_for_another():
    class Many(Episode):
        def __init__(self) -> None:
            super().__init__()
            for n in range(30):
                self.tool(name=f"tool_{n}")(lambda: None)

    message = Many().step(call("x" * 1000)).error.message
    assert message.endswith("tool_18, tool_19 and 10 more")
    assert len(message) < 500


@pytest.mark.parametrize("name", ["lose", "lose_async"])
def test_what_the_agent_has_no_part_in_is_raised(name):
    class Remote(Episode):
        @tool
        def lose(self) -> None:
            raise WorkspaceLostError("gone")

        @tool
        async def lose_async(self) -> None:
            raise WorkspaceLostError("gone")

    with pytest.raises(WorkspaceLostError):
        Remote().step(call(name))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("odd", "cannot be serialised"),
        ("not_a_number", "NaN or infinity at [1]"),
        ("wrong", "it returned NoneType"),
    ],
)
def test_a_result_that_can_not_be_sent_or_is_not_what_was_said_is_answered(shop, name, says):
    answer = shop.step(call(name))
    assert answer.error.error_type is ToolErrorType.EXECUTION_ERROR
    assert says in answer.error.message


def test_an_array_is_a_result(shop):
    assert shop.step(call("picture")).result.shape == (2, 2)


@pytest.mark.parametrize("name", ["hang", "hang_async"])
def test_a_tool_that_takes_too_long_is_given_up(shop, name):
    answer = shop.step(call(name), timeout_s=0.05)
    assert answer.error.error_type is ToolErrorType.TIMEOUT
    shop.go_on.set()


def test_while_a_tool_that_was_given_up_goes_on_no_other_runs(shop):
    shop.step(call("hang"), timeout_s=0.05)
    answer = shop.step(call("add", a=1))
    assert answer.error.error_type is ToolErrorType.TIMEOUT
    assert "'hang' before this one is still running" in answer.error.message
    shop.go_on.set()
    assert wait_until(lambda: shop.step(call("add", a=1)).error is None)
    assert shop.step(call("add", a=1), timeout_s=10).result == 3


def test_an_environment_of_one_thread_calls_its_tools_on_that_thread_with_a_time_limit_too():
    class Affine(Episode):
        REQUIRES_SINGLE_THREAD_EXECUTOR = True

        @tool
        def where(self) -> int:
            return threading.get_ident()

    assert Affine().step(call("where"), timeout_s=10).result == threading.get_ident()


# --- rewards, ends, transforms -----------------------------------------------------------------------------


def test_a_tool_says_reward_and_end_by_two_calls(shop):
    answer = shop.step(call("win"))
    assert (answer.result, answer.reward, answer.done) == ("won", 1.5, True)
    again = shop.step(call("add", a=1))
    assert (again.reward, again.done) == (None, False)


def test_a_tool_may_return_the_whole_observation_or_step(shop):
    observed = shop.step(call("observed"))
    assert (observed.result, observed.reward, observed.done) == ("mine", 0.75, True)
    result = shop.step(call("whole"))
    assert (result.reward, result.done, result.truncated) == (0.25, True, True)
    assert result.observation.tool_name == "whole"
    assert result.observation.result == "cut off"


def test_what_a_tool_returns_as_a_whole_is_not_changed_and_its_outcome_says_whether_it_is_graded():
    same = StepResult("here")

    class Same(Episode):
        @tool
        def give(self, win: bool = False) -> Any:
            if win:
                self.end_episode(reward=1.0)
            return same

    first = Same().step(call("give", win=True))
    assert (first.reward, first.done, first.terminated, first.outcome.reward_valid) == (1.0, True, True, True)
    second = Same().step(call("give"))
    assert (second.reward, second.done, second.outcome.reward_valid) == (None, False, False)
    graded = Same(rubric=lambda action, observation: 0.5).step(call("give"))
    assert (graded.reward, graded.outcome) == (0.5, StepResult("here", 0.5).outcome)


async def _later(action: Any, observation: Any) -> float:
    return 2.0


@pytest.mark.parametrize("rubric", [lambda action, observation: 2.0, _later], ids=["sync", "async"])
def test_a_rubric_grades_calls_that_have_no_reward_of_their_own(rubric):
    shop = Shop(rubric=rubric)
    rewards = {name: shop.step(call(name)).reward for name in ("add", "nope", "win", "observed")}
    assert rewards == {"add": 2.0, "nope": 2.0, "win": 1.5, "observed": 0.75}
    assert shop.step(call("add_async", a=1)).reward == 2.0
    assert shop.step(ListToolsAction()).reward is None


def test_a_transform_sees_every_observation():
    class Note(Transform[Any]):
        def __call__(self, observation: Any) -> Any:
            return observation.model_copy(update={"metadata": {"seen": True}})

    class Moving(Shop):
        async def _step_impl(self, action: Any, timeout_s: float | None = None, **kw: Any) -> Observation:
            return Observation()

    shop = Moving(transform=Note())
    for action in (call("add", a=1), call("add_async", a=1), ListToolsAction(), Action()):
        assert shop.step(action).metadata == {"seen": True}
    assert shop.step(call("whole")).observation.metadata == {"seen": True}


# --- other actions, modes, names ---------------------------------------------------------------------------


def test_an_action_that_is_no_tool_call_is_refused_or_taken(shop):
    class Move(Action):
        by: int

    class Moving(Episode):
        def _step_impl(self, action: Move, timeout_s: float | None = None, **kw: Any) -> Observation:
            return Observation(reward=float(action.by), metadata={"timeout_s": timeout_s, **kw})

    with pytest.raises(InvalidRequestError, match=r"takes tool calls only, .*, not Move"):
        shop.step(Move(by=1))
    answer = Moving().step(Move(by=3), timeout_s=1.5, fast=True)
    assert (answer.reward, answer.metadata) == (3.0, {"timeout_s": 1.5, "fast": True})


def test_an_instance_adds_tools_of_its_own_for_a_mode_or_both():
    class Growing(Shop):
        def __init__(self) -> None:
            super().__init__()

            @self.tool()
            def plain(a: int) -> int:
                return a

            @self.tool
            def bare() -> str:
                return "bare"

            @self.tool(mode="simulation")
            def look() -> str:
                return "toy"

            @self.tool(mode="production", name="look")
            async def look_really() -> str:
                return "thing"

    grown = Growing()
    assert grown.step(call("plain", a=1)).result == 1
    assert grown.step(call("bare")).result == "bare"
    assert grown.step(call("look")).result == "toy"
    assert {"add", "plain", "bare", "look"} <= grown.get_callables().keys()
    assert grown.get_callables()["plain"](2) == 2
    grown._server_mode = "production"
    assert grown.step(call("look")).result == "thing"
    assert [one.name for one in grown.step(ListToolsAction()).tools].count("look") == 1
    with pytest.raises(ConfigurationError, match="already"):
        grown.tool(name="add")(lambda: None)
    with pytest.raises(ConfigurationError, match="reserved"):
        grown.tool(name="reset")(lambda: None)


def test_tools_that_change_are_told_of_once(shop):
    adapter = Adapter(shop)
    assert adapter.take_tools_changed() is False
    shop.tools_changed()
    assert (adapter.take_tools_changed(), adapter.take_tools_changed()) == (True, False)


def test_the_types_of_the_steps_are_known_to_a_server():
    class Move(Action):
        by: int

    class Moving(MCPEnvironment[Move | CallToolAction, CallToolObservation, State]): ...

    shape = Shape.of(Shop)
    assert shape.action == CallToolAction | ListToolsAction
    assert shape.observation == CallToolObservation | ListToolsObservation
    assert Shape.of(Moving).action == Move | CallToolAction


@pytest.mark.parametrize("verb", ["step", "step_async"])
def test_a_step_that_a_subclass_overrides_is_the_one_that_a_server_calls(verb):
    class Plain(Shop):
        def step(self, action: Any, timeout_s: float | None = None, **kw: Any) -> Any:
            return super().step(action, timeout_s, **kw).model_copy(update={"reward": 9.0})

    class Awaited(Shop):
        async def step_async(self, action: Any, timeout_s: float | None = None, **kw: Any) -> Any:
            answer = await super().step_async(action, timeout_s, **kw)
            return answer.model_copy(update={"reward": 9.0})

    cls = {"step": Plain, "step_async": Awaited}[verb]
    assert Shape.of(cls).step_name == verb
    answer = Adapter(cls()).bind_step(call("add_async", a=1))()
    assert (asyncio.run(answer) if verb == "step_async" else answer).reward == 9.0


def test_the_step_written_last_counts_whichever_of_the_two_it_is():
    class Awaited(Episode):
        async def step_async(self, action: Any) -> Observation:
            return Observation(reward=1.0)

    class Plain(Awaited):
        def step(self, action: Any) -> Observation:
            return Observation(reward=2.0)

    assert (Shape.of(Awaited).step_name, Shape.of(Plain).step_name) == ("step_async", "step")
