"""Environments of tools behind a server: a call is a step, and none costs the session."""

import asyncio

import pytest
from tests.mcp.tooled import ServedFastMCP, Shop, served

from openenv.client import GenericEnvClient
from openenv.environment import Environment
from openenv.errors import NotResetError
from openenv.mcp import (
    CallToolAction,
    Tool,
)
from openenv.models import Action, Observation, State


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.mark.parametrize("environment", [Shop, ServedFastMCP])
def test_a_tool_call_is_a_step_of_a_server(serve, environment):
    with GenericEnvClient(base_url=serve(environment).url) as env:
        env.reset()
        assert "add" in [one["name"] for one in env.step({"type": "list_tools"}).observation["tools"]]
        answer = env.step({"type": "call_tool", "tool_name": "add", "arguments": {"a": 1}})
        result = answer.observation["result"]
        assert (result["data"] if isinstance(result, dict) else result) == 3
        failed = env.step({"type": "call_tool", "tool_name": "nope", "arguments": {}})
        assert failed.observation["error"]["error_type"] == "tool_not_found"


def test_a_tool_that_hangs_costs_no_session_where_the_step_has_a_limit(serve):
    with GenericEnvClient(base_url=serve(Shop).url) as env:
        env.reset()
        for name in ("hang_async", "hang"):
            answer = env.step({"type": "call_tool", "tool_name": name, "arguments": {}}, timeout_s=2.0)
            assert answer.observation["error"]["error_type"] == "timeout"
        assert env.state()["episode_id"] == "here"


def test_an_environment_written_for_earlier_releases_runs_as_it_is(serve):
    from openenv.core.env_server import create_app, mcp_environment, mcp_types

    class Earlier(mcp_environment.MCPEnvironment):
        SUPPORTS_CONCURRENT_SESSIONS = True

        def __init__(self) -> None:
            self.steps = 0
            super().__init__(served("fastmcp"))

        def reset(self, seed=None, episode_id=None, **kwargs):
            return Observation(done=False, reward=0.0, metadata={"status": "ready"})

        def _step_impl(self, action, timeout_s=None, **kwargs):
            return Observation(done=False, reward=0.0)

        def step(self, action, timeout_s=None, **kwargs):
            self.steps += 1
            return super().step(action, timeout_s=timeout_s, **kwargs)

        async def step_async(self, action, timeout_s=None, **kwargs):
            self.steps += 1
            return await super().step_async(action, timeout_s=timeout_s, **kwargs)

        @property
        def state(self):
            return State(step_count=self.steps)

    earlier = Earlier()
    assert earlier.step(mcp_types.CallToolAction(tool_name="add", arguments={"a": 1})).result["data"] == 3
    assert isinstance(earlier.step(Action()), Observation)
    assert earlier.state.step_count == 2

    app = create_app(Earlier, mcp_types.CallToolAction, mcp_types.CallToolObservation, env_name="earlier")
    assert app.title
    options = {"action_cls": mcp_types.CallToolAction, "observation_cls": mcp_types.CallToolObservation}
    with GenericEnvClient(base_url=serve(Earlier, **options).url) as env:
        assert env.reset().reward == 0.0
        answer = env.step({"type": "call_tool", "tool_name": "add", "arguments": {"a": 1}})
        assert answer.observation["result"]["data"] == 3
        assert env.state()["step_count"] == 1


def test_a_tool_listed_in_mcp_form_says_all_that_is_known(shop):
    listed: list[Tool] = asyncio.run(shop.list_tools())
    assert listed[0].to_mcp()["outputSchema"]["properties"] == {"result": {"type": "integer"}}


@pytest.mark.parametrize("environment", [Shop, ServedFastMCP])
def test_a_trainer_that_knows_nothing_of_it_sees_that_it_has_tools_and_may_ask_which_before_the_reset(
    serve, environment
):
    with GenericEnvClient(base_url=serve(environment).url) as env:
        assert env.schema().action["title"] == "CallToolAction"
        listed = env.step({"type": "list_tools"})
        assert "add" in [one["name"] for one in listed.observation["tools"]]
        with pytest.raises(NotResetError):
            env.step({"type": "call_tool", "tool_name": "add", "arguments": {"a": 1}})


def test_actions_that_are_no_calls_have_a_title_of_their_own(serve):
    class Say(Action):
        words: str

    class Speaker(Environment[Say | CallToolAction, Observation, State]):
        def reset(self) -> Observation:
            return Observation()

        def step(self, action: Say | CallToolAction) -> Observation:
            return Observation()

        @property
        def state(self) -> State:
            return State()

    with GenericEnvClient(base_url=serve(Speaker).url) as env:
        assert "title" not in env.schema().action
