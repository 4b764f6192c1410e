"""What echo_env promises: the contract of every environment, and its own rules."""

import pytest

from echo_env import CallToolAction, EchoAction, EchoEnv, EchoObservation, ListToolsAction
from echo_env.server.echo_environment import EchoEnvironment
from openenv.mcp import ToolErrorType
from openenv.providers import ProcessProvider
from openenv.testing import EnvironmentContract, EnvironmentMemoryContract


def call(tool: str, **arguments: object) -> CallToolAction:
    return CallToolAction(tool_name=tool, arguments=arguments)


class TestContract(EnvironmentContract):
    environment = EchoEnvironment
    seed_changes_nothing = "Nothing here is random."
    actions = (
        EchoAction(message="hi"),
        EchoAction(message=""),
        EchoAction(message="\N{SNOWMAN}\n\0", metadata={"why": "odd characters"}),
        call("echo_message", message="hi"),
        call("echo_with_length", message="hi"),
        call("no_such_tool"),
        ListToolsAction(),
    )
    bad_actions = (
        {"message": 5},
        {"message": "hi", "no_such_field": 1},
        {"type": "call_tool"},
        {"type": "no_such_type"},
        {"message": "hi", "tool_name": "echo_message"},
    )
    steps = len(actions)


@pytest.mark.slow
class TestMemory(EnvironmentMemoryContract):
    environment = EchoEnvironment
    actions = TestContract.actions


@pytest.fixture
def echo() -> EchoEnvironment:
    environment = EchoEnvironment()
    environment.reset()
    return environment


def test_a_reset_greets():
    assert EchoEnvironment().reset() == EchoObservation(echoed_message="Echo environment ready!")


@pytest.mark.parametrize(
    ("message", "reward"),
    [("Hello, World!", 1.3), ("", 0.0), ("\N{SNOWMAN}", 0.1), ("x" * 100_000, 10_000.0)],
)
def test_a_message_comes_back_and_earns_a_tenth_a_character(echo, message, reward):
    observation = echo.step(EchoAction(message=message))
    assert observation.echoed_message == message
    assert observation.message_length == len(message)
    assert observation.reward == pytest.approx(reward)
    assert not observation.done


def test_a_tool_call_that_works_earns_one(echo):
    observation = echo.step(call("echo_message", message="hi"))
    assert (observation.tool_name, observation.result, observation.reward) == ("echo_message", "hi", 1.0)
    assert echo.step(call("echo_with_length", message="hi")).result == {"message": "hi", "length": 2}


@pytest.mark.parametrize(
    ("action", "why"),
    [
        (call("no_such_tool", message="hi"), ToolErrorType.TOOL_NOT_FOUND),
        (call("reset"), ToolErrorType.TOOL_NOT_FOUND),
        (call("echo_message"), ToolErrorType.INVALID_ARGS),
        (call("echo_message", message=5), ToolErrorType.INVALID_ARGS),
        (call("echo_message", message="hi", loudly=True), ToolErrorType.INVALID_ARGS),
    ],
)
def test_a_tool_call_that_does_not_work_is_answered_with_the_reason(echo, action, why):
    observation = echo.step(action)
    assert observation.error is not None
    assert observation.error.error_type is why
    assert (observation.result, observation.reward) == (None, 0.0)
    assert echo.state.step_count == 1


def test_the_tools_that_are_listed_can_be_called(echo):
    tools = echo.step(ListToolsAction()).tools
    assert [tool.name for tool in tools] == ["echo_message", "echo_with_length"]
    for tool in tools:
        (argument,) = tool.input_schema["required"]
        assert echo.step(call(tool.name, **{argument: "hi"})).error is None


def test_an_episode_against_a_server():
    with EchoEnv.with_provider(ProcessProvider()) as env:
        assert env.metadata().name == "echo_env"
        assert env.reset(seed=1, episode_id="mine").observation.echoed_message == "Echo environment ready!"
        assert env.step(EchoAction(message="Hello, World!")).reward == pytest.approx(1.3)
        assert env.step(call("echo_message", message="hi")).observation.result == "hi"
        assert (env.state().episode_id, env.state().step_count) == ("mine", 2)
