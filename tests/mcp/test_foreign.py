"""An MCP server as an environment: its tools, its episodes, and what comes back."""

import asyncio
import json
import os
import sys

import pytest
from tests.mcp.conftest import ODD_SERVER

from openenv.environment import Transform
from openenv.errors import ConfigurationError, ExecutionError, NotResetError
from openenv.mcp import CallToolAction, CallToolObservation, ListToolsAction, ListToolsObservation, ToolErrorType
from openenv.mcp.foreign import MCPServerEnvironment
from openenv.testing import EnvironmentContract, LocalServer

COMMAND = [sys.executable, "-I", "-S", str(ODD_SERVER)]


def call(tool: str, **arguments):
    return CallToolAction(tool_name=tool, arguments=arguments)


class TestOneServerAnEpisode(EnvironmentContract):
    environment = staticmethod(lambda: MCPServerEnvironment(COMMAND, max_steps=6))
    actions = (call("say", text="hello"), call("count"), ListToolsAction())


class TestOneServerForAll(EnvironmentContract):
    environment = staticmethod(lambda: MCPServerEnvironment(COMMAND, shared=True, max_steps=6))
    actions = (call("say", text="hello"), ListToolsAction())


# --- tools -----------------------------------------------------------------------------------------------------


async def test_the_first_observation_lists_the_tools(odd):
    async with odd() as env:
        tools = (await env.reset()).observation.tools
        assert [tool.name for tool in tools][:2] == ["say", "count"]
        assert tools[0].input_schema["required"] == ["text"]
        assert (await env.step(ListToolsAction())).observation.tools == tools
        assert await env.list_tools() == tools


async def test_the_tools_are_known_before_the_first_reset_which_then_plays_on_the_same_process(odd):
    async with odd() as env:
        before = await env.list_tools()
        process = env._connection._child._process.pid
        assert (await env.reset()).observation.tools == before
        assert (await env.step(call("pid"))).observation.result == str(process)


async def test_a_tool_called_like_a_verb_of_the_environment_is_offered_under_another_name(odd):
    async with odd() as env:
        names = [tool.name for tool in (await env.reset()).observation.tools]
        assert "server_reset" in names
        assert "reset" not in names
        assert (await env.step(call("server_reset", seed=3))).observation.result == '{"seed": 3}'
        assert (await env.step(call("reset"))).observation.error.error_type == ToolErrorType.TOOL_NOT_FOUND


async def test_a_list_that_changes_is_read_again(odd):
    async with odd() as env:
        await env.reset()
        assert not env._tools_changed
        assert (await env.step(call("grow"))).observation.result == "grown"
        while not env._tools_changed:
            await env.step(call("count"))
        assert "new" in [tool.name for tool in (await env.step(ListToolsAction())).observation.tools]
        assert (await env.step(call("new"))).observation.error is None


# --- what comes back -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "result"),
    [
        (call("say", text="é\u2028 ü"), "é\u2028 ü"),
        (call("count"), {"calls": 1}),
        (
            call("picture"),
            [{"type": "text", "text": "a dot"}, {"type": "image", "data": "aGk=", "mimeType": "image/png"}],
        ),
    ],
)
async def test_a_result_is_structured_content_or_text_or_blocks(odd, action, result):
    async with odd() as env:
        await env.reset()
        observation = (await env.step(action)).observation
        assert (observation.result, observation.error) == (result, None)


@pytest.mark.parametrize(
    ("action", "kind", "message"),
    [
        (call("fail"), ToolErrorType.EXECUTION_ERROR, "it went wrong"),
        (call("refuse"), ToolErrorType.EXECUTION_ERROR, "not today"),
        (call("nonsense"), ToolErrorType.EXECUTION_ERROR, "Input should be a valid list"),
        (call("say", text=3), ToolErrorType.INVALID_ARGS, "expected a string"),
        (call("say", text="\ud800"), ToolErrorType.INVALID_ARGS, "no JSON form"),
        (call("say", text=object()), ToolErrorType.INVALID_ARGS, "no JSON form"),
        (call("sing"), ToolErrorType.TOOL_NOT_FOUND, "There is no tool 'sing'; there are: say, count"),
    ],
)
async def test_a_call_that_fails_is_an_observation_and_the_episode_goes_on(odd, action, kind, message):
    async with odd() as env:
        await env.reset()
        result = await env.step(action)
        assert result.observation.error.error_type == kind
        assert message in result.observation.error.message
        assert (result.reward, result.done) == (None, False)
        assert (await env.step(call("say", text="still here"))).observation.result == "still here"


async def test_a_tool_that_hangs_is_cancelled_and_the_episode_goes_on(odd):
    async with odd(call_timeout_s=0.05) as env:
        await env.reset()
        error = (await env.step(call("hang"))).observation.error
        assert error.error_type == ToolErrorType.TIMEOUT
        assert error.message == "hang was cancelled after 0.05 s"
        env.call_timeout_s = 10
        while not env._tools_changed:  # the server says so when it is told of the cancelling
            await env.step(call("count"))
        assert len(json.loads((await env.step(call("new"))).observation.result)) == 1


async def test_a_tool_gets_a_little_less_than_the_time_of_its_step(odd):
    async with odd() as env:
        await env.reset()
        assert "after 0.05 s" in (await env.step(call("hang"), timeout_s=0.1)).observation.error.message


async def test_50_megabytes_come_through(odd):
    async with odd() as env:
        await env.reset()
        assert len((await env.step(call("big", size=50_000_000))).observation.result) == 50_000_000


async def test_what_is_printed_before_a_message_and_between_messages_is_skipped(odd):
    async with odd("noisy") as env:
        await env.reset()
        assert (await env.step(call("say", text='{"jsonrpc": "2.0"}'))).observation.result == '{"jsonrpc": "2.0"}'
        env.call_timeout_s = 0.05
        assert "no messages" in (await env.step(call("hang"))).observation.error.message


async def test_progress_of_a_tool_is_that_of_the_step(odd):
    async with odd() as env:
        told = []
        env._listener = told.append
        await env.reset()
        while not told:  # what is told and what is returned come in any order
            assert (await env.step(call("work"))).observation.result == "done"
        assert told[0]["fraction"] == 0.5


# --- episodes --------------------------------------------------------------------------------------------------


async def test_every_episode_has_a_process_of_its_own(odd):
    async with odd() as env:
        processes, counts = set(), []
        for _ in range(2):
            await env.reset()
            processes.add((await env.step(call("pid"))).observation.result)
            counts.append((await env.step(call("count"))).observation.result)
        assert len(processes) == 2
        assert counts == [{"calls": 2}, {"calls": 2}]


async def test_a_process_that_is_kept_goes_on_and_its_reset_tool_makes_it_forget(odd):
    async with odd(keep=True, reset_tool="reset") as env:
        processes = set()
        for seed in range(2):
            result = await env.reset(seed=seed, episode_id=f"e{seed}", task="x")
            assert result.info["warnings"] == ["task was not used: no reset_tool takes it"]
            assert "server_reset" not in [tool.name for tool in result.observation.tools]
            assert (await env.step(call("count"))).observation.result == {"calls": 1}
            processes.add((await env.step(call("pid"))).observation.result)
        assert len(processes) == 1
        assert env.state.episode_id == "e1"


async def test_a_shared_process_serves_all_and_ends_with_the_last(odd):
    async with odd(shared=True) as one:
        async with odd(shared=True) as other:
            await asyncio.gather(one.reset(), other.reset())
            pids = [(await env.step(call("pid"))).observation.result for env in (one, other)]
            assert pids[0] == pids[1]
        await one.reset()
        assert (await one.step(call("pid"))).observation.result == pids[0]
        async with odd(shared=True, env={"OTHER": "1"}) as different:
            await different.reset()
            assert (await different.step(call("pid"))).observation.result != pids[0]
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids[0]), 0)


async def test_a_reset_tool_that_fails_or_is_not_there_fails_the_reset(odd):
    async with odd(reset_tool="fail") as env:
        with pytest.raises(ExecutionError, match="it went wrong"):
            await env.reset()
    async with odd(reset_tool="sing") as env:
        with pytest.raises(ConfigurationError, match="no tool 'sing'"):
            await env.reset()


async def test_rewards_and_the_end_are_said_by_the_rubric(odd):
    class Rubric:
        def reset(self):
            self.seen = []

        async def __call__(self, action, observation):
            self.seen.append(action.tool_name)
            observation.done = observation.result == "the end"
            return float(len(self.seen))

    async with odd(rubric=Rubric()) as env:
        assert (await env.reset()).reward is None
        result = await env.step(call("say", text="one"))
        assert (result.reward, result.done) == (1.0, False)
        assert (await env.step(ListToolsAction())).reward is None
        result = await env.step(call("say", text="the end"))
        assert (result.reward, result.done, result.terminated) == (2.0, True, True)
        assert env.state.step_count == 3


async def test_an_episode_ends_when_it_is_done_or_at_its_last_step(odd):
    async with odd(done_when=lambda action, seen: seen.result == "stop", max_steps=2) as env:
        await env.reset()
        assert (await env.step(call("say", text="stop"))).terminated
        await env.reset()
        assert not (await env.step(call("count"))).done
        result = await env.step(call("count"))
        assert (result.done, result.truncated, result.observation.done) == (True, True, True)


async def test_a_transform_sees_every_observation(odd):
    class Mark(Transform):
        def __call__(self, observation):
            observation.metadata["seen"] = True
            return observation

    async with odd(transform=Mark()) as env:
        assert (await env.reset()).observation.metadata == {"seen": True}
        assert (await env.step(call("count"))).metadata == {"seen": True}


async def test_a_server_gets_the_variables_that_are_given_and_no_secrets_of_ours(odd, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    async with odd("keyless", env={"API_KEY": "abc"}) as env:
        await env.reset()
        assert (await env.step(call("variable", name="API_KEY"))).observation.result == "abc"
        assert (await env.step(call("variable", name="HF_TOKEN"))).observation.result == "not there"
        assert (await env.step(call("variable", name="PATH"))).observation.result == os.environ["PATH"]


async def test_a_step_needs_a_reset(odd):
    async with odd() as env:
        with pytest.raises(NotResetError):
            await env.step(call("count"))


async def test_calls_may_come_from_any_task(odd):
    async with odd() as env:
        await asyncio.create_task(env.reset())
        steps = [asyncio.create_task(env.step(call("say", text=str(n)))) for n in range(20)]
        assert [result.observation.result for result in await asyncio.gather(*steps)] == [str(n) for n in range(20)]
        await asyncio.create_task(env.close())


async def test_twenty_sessions_at_once_do_not_see_each_other():
    async with LocalServer(
        lambda: MCPServerEnvironment(COMMAND),
        action=CallToolAction | ListToolsAction,
        observation=CallToolObservation | ListToolsObservation,
        max_concurrent_envs=20,
    ) as server:

        async def play(number):
            async with server.client() as env:
                await env.reset()
                for _ in range(number):
                    await env.step(call("say", text=str(number)))
                return (await env.step(call("count"))).observation.result

        assert await asyncio.gather(*map(play, range(20))) == [{"calls": number + 1} for number in range(20)]


@pytest.mark.parametrize(
    ("server", "options", "message"),
    [
        ("", {}, "a command"),
        ([], {}, "a command"),
        ("'unclosed", {}, "no command line"),
        (["a", 3], {}, "no command line"),
        (["a\0b"], {}, "null"),
        ("ftp://host/mcp", {}, "http:// or https://"),
        ("http://", {}, "http:// or https://"),
        ("http://host/mcp", {"env": {"A": "b"}}, "env and cwd"),
        ("server", {"headers": {"A": "b"}}, "headers"),
        ("server", {"call_timeout_s": 0}, "more than 0"),
        ("server", {"max_steps": 0}, "more than 0"),
    ],
)
def test_what_is_no_server_is_refused_when_it_is_given(server, options, message):
    with pytest.raises(ConfigurationError, match=message):
        MCPServerEnvironment(server, **options)
