"""An MCP server that can not be had, ends in an episode, or does not end: always said, never graded, never left."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.mcp.conftest import ODD_SERVER
from tests.servers import wait_until

from openenv.environment import unforkable
from openenv.errors import ConfigurationError, EnvironmentDiedError, ExecutionError
from openenv.mcp import CallToolAction, CallToolObservation, ListToolsAction, ListToolsObservation
from openenv.mcp.foreign import MCPServerEnvironment, child
from openenv.outcomes import Status
from openenv.testing import LocalServer


def call(tool: str, **arguments):
    return CallToolAction(tool_name=tool, arguments=arguments)


def is_gone(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return not runs(process)
    return stat.rpartition(")")[2].split()[0] in "ZX"


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


async def number(env, tool: str) -> int:
    return int((await env.step(call(tool))).observation.result)


# --- it can not be had -----------------------------------------------------------------------------------------


async def test_a_command_that_does_not_exist_is_named():
    env = MCPServerEnvironment("no-such-server --fast")
    with pytest.raises(EnvironmentDiedError, match=r"no-such-server --fast ended with exit code 127") as caught:
        await env.reset()
    assert "no-such-server cannot be run" in caught.value.message


async def test_a_server_that_ends_at_once_is_told_with_what_it_wrote(odd):
    async with odd("keyless") as env:
        with pytest.raises(EnvironmentDiedError, match=r"exit code 1\n.*\nAPI_KEY is not set"):
            await env.reset()


async def test_secrets_are_not_in_the_errors(odd):
    async with odd("keyless", env={"MY_TOKEN": "hush-hush"}) as env:
        env.address = type(env.address)((*env.address.command, "--token", "hush-hush"), env=env.address.env)
        with pytest.raises(EnvironmentDiedError) as caught:
            await env.reset()
    assert "--token" in caught.value.message
    assert "hush" not in caught.value.message


async def test_a_server_that_never_answers_is_given_up_and_ended(odd, monkeypatch):
    monkeypatch.setattr(child, "GRACE_S", 0.1)
    async with odd("mute", start_timeout_s=1.5) as env:
        with pytest.raises(EnvironmentDiedError, match=r"did not answer initialize within 1.5 s[^$]*thinking"):
            await env.reset()
    assert not unforkable.reasons()


async def test_a_folder_that_is_not_there_is_a_mistake_of_the_program(odd):
    async with odd(cwd="/no/such/folder") as env:
        with pytest.raises(ConfigurationError, match="/no/such/folder"):
            await env.reset()


async def test_a_failed_start_leaves_an_environment_that_can_be_reset_again(odd, monkeypatch):
    async with odd("keyless") as env:
        for _ in range(2):
            with pytest.raises(EnvironmentDiedError):
                await env.reset()
        with pytest.raises(EnvironmentDiedError):
            await env.list_tools()


def test_without_the_sdk_the_extra_is_named():
    program = "import sys; sys.modules['mcp'] = None; from openenv.mcp import MCPServerEnvironment"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "ConfigurationError" in done.stderr
    assert "pip install 'openenv[mcp]'" in done.stderr


# --- it ends in an episode -------------------------------------------------------------------------------------


async def test_a_server_that_dies_is_no_reward_and_not_replaced_before_the_next_reset(odd):
    async with odd(rubric=lambda action, observation: 0.0) as env:
        await env.reset()
        with pytest.raises(EnvironmentDiedError, match=r"ended with exit code 3\n[^\n]*\nout of paper"):
            await env.step(call("die"))
        for again in (call("count"), ListToolsAction()):
            with pytest.raises(EnvironmentDiedError, match="exit code 3"):
                await env.step(again)
        await env.reset()
        assert (await env.step(call("count"))).observation.result == {"calls": 1}


async def test_a_server_that_is_killed_between_calls_is_noticed(odd):
    async with odd() as env:
        await env.reset()
        process = await number(env, "pid")
        os.kill(process, signal.SIGKILL)
        while not env._connection.over:
            await asyncio.sleep(0)
        with pytest.raises(EnvironmentDiedError, match="exit code 137"):
            await env.step(call("count"))


async def test_all_who_share_a_server_learn_of_its_end_and_then_share_a_new_one(odd):
    async with odd(shared=True) as one, odd(shared=True) as other:
        await one.reset()
        await other.reset()
        with pytest.raises(EnvironmentDiedError):
            await one.step(call("die"))
        await one.reset()
        with pytest.raises(EnvironmentDiedError):  # it is in the episode that the server ended in
            await other.step(call("count"))
        await other.reset()
        assert await number(one, "pid") == await number(other, "pid")


async def test_a_message_without_an_end_ends_the_server(odd, monkeypatch):
    monkeypatch.setattr(child, "LONGEST_MESSAGE", 1 << 20)
    monkeypatch.setattr(child, "GRACE_S", 0.1)
    async with odd() as env:
        await env.reset()
        assert (await env.step(call("big", size=1_000_000))).observation.error is None
        with pytest.raises(EnvironmentDiedError, match="more than 1 MiB"):
            await env.step(call("big", size=5_000_000))


async def test_a_trainer_is_told_that_it_is_not_the_policys_fault():
    async with (
        LocalServer(
            lambda: MCPServerEnvironment([sys.executable, "-I", "-S", str(ODD_SERVER)]),
            action=CallToolAction | ListToolsAction,
            observation=CallToolObservation | ListToolsObservation,
        ) as server,
        server.client() as env,
    ):
        await env.reset()
        with pytest.raises(ExecutionError, match="exit code 3") as caught:
            await env.step(call("die"))
        assert caught.value.outcome.status == Status.INFRA_FAULT
        assert not caught.value.outcome.reward_valid
        await env.reset()
        assert (await env.step(call("count"))).observation.result == {"calls": 1}


# --- nothing is left -------------------------------------------------------------------------------------------


async def test_closing_ends_the_server_and_all_it_has_started(odd):
    async with odd() as env:
        await env.reset()
        processes = [await number(env, "pid"), await number(env, "child")]
        await env.close()
        await env.close()
    assert all(map(is_gone, processes))
    assert not unforkable.reasons()


async def test_a_server_that_does_not_end_with_its_input_is_ended(odd, monkeypatch):
    monkeypatch.setattr(child, "GRACE_S", 0.1)
    async with odd("stubborn") as env:
        await env.reset()
        process = await number(env, "pid")
    assert is_gone(process)


@pytest.mark.parametrize("oddity", ["mute", "stubborn"])
async def test_a_cancelled_reset_leaves_nothing_running(odd, oddity, monkeypatch):
    monkeypatch.setattr(child, "GRACE_S", 0.1)
    async with odd(oddity) as env:
        reset = asyncio.create_task(env.reset())
        while env._connection is None or env._connection._child is None or env._connection._child._process is None:
            await asyncio.sleep(0)
        process = env._connection._child._process.pid
        reset.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reset
    assert is_gone(process)


async def test_a_cancelled_close_goes_on_by_itself(odd):
    env = MCPServerEnvironment([sys.executable, "-I", "-S", str(ODD_SERVER)])
    await env.reset()
    process = await number(env, "pid")
    closing = asyncio.create_task(env.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    while not is_gone(process):
        await asyncio.sleep(0)


def test_a_loop_that_ends_takes_its_servers_along():
    async def play():
        env = MCPServerEnvironment([sys.executable, "-I", "-S", str(ODD_SERVER)])
        await env.reset()
        return env, await number(env, "pid")

    env, process = asyncio.run(play())
    assert is_gone(process)

    async def play_on():
        await env.reset()
        await number(env, "pid")
        await env.close()

    asyncio.run(play_on())
    assert not unforkable.reasons()


def test_a_killed_program_leaves_neither_its_servers_nor_their_children():
    command = [sys.executable, str(Path(__file__).with_name("doomed_player.py")), sys.executable, str(ODD_SERVER)]
    program = subprocess.Popen(command, stdout=subprocess.PIPE)
    with program:
        processes = [int(word) for word in program.stdout.readline().split()]
        assert len(processes) == 2
        program.kill()
    assert wait_until(lambda: all(map(is_gone, processes)))
