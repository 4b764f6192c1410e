"""What a type checker sees in each way of calling. It is checked, not run: `test_typing.py` gives it to mypy."""

import asyncio
from collections.abc import Callable
from typing import Any, assert_type

from openenv.client import EnvClient, GenericEnvClient, HTTPEnvClient, MCPToolClient, SyncEnvClient
from openenv.client.generic import GenericState
from openenv.mcp import CallToolAction, CallToolObservation, Tool
from openenv.models import Action, EnvironmentMetadata, Observation, State, StepResult
from openenv.protocol.messages import SchemaResponse, ServerCapacityStatus
from openenv.providers import Provider


class Add(Action):
    """An action."""

    amount: int = 1


class Stop(Action):
    """Another."""


class Count(Observation):
    """An observation."""

    total: int


class Tally(State):
    """A state."""

    total: int = 0


class CounterEnv(EnvClient[Add | Stop, Count, Tally]):
    """A typed client."""

    def add_twice(self, amount: int) -> int:
        """Add and add again."""
        self.step(Add(amount=amount))
        return self.step(Add(amount=amount)).observation.total


class CounterHTTP(HTTPEnvClient[Add | Stop, Count, Tally]):
    """A typed client over HTTP."""


async def entered_async(url: str) -> None:
    """`async with`."""
    async with CounterEnv(url) as env:
        assert_type(env, CounterEnv)
        assert_type(await env.reset(seed=1), StepResult[Count])
        result = await env.step(Add(amount=2))
        assert_type(result, StepResult[Count])
        assert_type(result.observation.total, int)
        assert_type(await env.state(), Tally)
        assert_type(await env.schema(), SchemaResponse)
        assert_type(await env.metadata(), EnvironmentMetadata)
        assert_type(await env.capacity(), ServerCapacityStatus)
        await env.close()


async def connected(url: str) -> None:
    """`await client.connect()` and `await client`."""
    assert_type(await CounterEnv(url).connect(), CounterEnv)
    env = await CounterEnv(url)
    assert_type(env, CounterEnv)
    assert_type(await env.step(Stop()), StepResult[Count])
    await env.disconnect()


def entered_with(url: str) -> None:
    """`with`."""
    with CounterEnv(url) as env:
        assert_type(env, CounterEnv)
        assert_type(env.reset(), StepResult[Count])
        assert_type(env.step(Add()).observation, Count)
        assert_type(env.state().total, int)
        assert_type(env.capacity().max_sessions, int)
        assert_type(env.add_twice(2), int)


def blocking_face(url: str) -> None:
    """`.sync()`, entered and not."""
    with CounterEnv(url).sync() as env:
        assert_type(env, SyncEnvClient[Add | Stop, Count, Tally])
        assert_type(env.reset(), StepResult[Count])
        assert_type(env.step(Stop()), StepResult[Count])
        assert_type(env.state(), Tally)
        assert_type(env.schema(), SchemaResponse)
        assert_type(env.metadata(), EnvironmentMetadata)
        assert_type(env.capacity(), ServerCapacityStatus)
    face = CounterEnv(url).sync()
    assert_type(face.step(Add()), StepResult[Count])
    assert_type(face.connect().state(), Tally)
    face.close()


def bare(url: str) -> None:
    """Not entered, blocking; the same inside a loop."""
    client = CounterEnv(url)
    assert_type(client.reset(), StepResult[Count])
    assert_type(client.step(Add()), StepResult[Count])
    assert_type(client.state(), Tally)
    assert_type(client.new_session(), CounterEnv)
    client.close()


async def bare_awaited(url: str) -> None:
    """Not entered, awaited, alone and together."""
    client = CounterEnv(url)
    assert_type(await client.reset(), StepResult[Count])
    assert_type(await asyncio.wait_for(client.step(Add()), 5), StepResult[Count])
    result, state = await asyncio.gather(client.step(Add()), client.state())
    assert_type(result, StepResult[Count])
    assert_type(state, Tally)
    assert_type(await asyncio.ensure_future(client.step(Add())), StepResult[Count])
    await client.close()


def untyped(url: str) -> None:
    """Dictionaries in, dictionaries out."""
    with GenericEnvClient(url) as env:
        assert_type(env.reset(), StepResult[dict[str, Any]])
        assert_type(env.step({"amount": 1}), StepResult[dict[str, Any]])
        assert_type(env.state(), GenericState)
        assert_type(env.state()["total"], Any)


async def untyped_async(url: str) -> None:
    """The same, awaited."""
    async with GenericEnvClient(url) as env:
        assert_type(await env.step({"amount": 1}), StepResult[dict[str, Any]])
        assert_type(await env.state(), GenericState)
        assert_type((await env.state())["total"], Any)


def over_http(url: str) -> None:
    """The blocking HTTP client."""
    with CounterHTTP(url, request_timeout_s=3) as env:
        assert_type(env, CounterHTTP)
        assert_type(env.reset(), StepResult[Count])
        assert_type(env.step(Add()), StepResult[Count])
        assert_type(env.state(), Tally)


async def with_servers(make: Callable[[], Provider]) -> None:
    """Clients whose servers a provider starts."""
    with CounterEnv.with_provider(make()) as env:
        assert_type(env, CounterEnv)
    async with CounterEnv.with_provider(make()) as env:
        assert_type(await env.reset(), StepResult[Count])
    assert_type(CounterEnv(provider=make()), CounterEnv)
    assert_type(CounterEnv.from_docker_image("counter-env:latest"), CounterEnv)
    assert_type(await CounterEnv.from_docker_image("counter-env:latest"), CounterEnv)


async def tools(url: str) -> None:
    """Tools, awaited."""
    async with CounterEnv(url) as env:
        assert_type([tool.name for tool in await env.list_tools()], list[str])
        assert_type(await env.call_tool("add", amount=1), Any)
        assert_type(await env.has_tool("add"), Any)
        assert_type([tool["name"] for tool in await env.anthropic_tools()], list[Any])
    async with MCPToolClient(url) as agent:
        observation = (await agent.step(CallToolAction(tool_name="add"))).observation
        if isinstance(observation, CallToolObservation):
            assert_type(observation.result, Any)
        if agent.last_result is not None:
            assert_type(agent.last_result.done, bool)


def tools_of_the_blocking_face(url: str) -> None:
    """Tools, with exact types."""
    with MCPToolClient(url).sync() as env:
        assert_type(env.list_tools(), list[Tool])
        assert_type(env.get_tool("add"), Tool | None)
        assert_type(env.has_tool("add"), bool)
        assert_type(env.call_tool("add", name="x"), Any)
        assert_type(env.openai_tools(), list[dict[str, Any]])
        assert_type(env.last_result, StepResult[Any] | None)


def wrong(url: str) -> None:
    """What is to be refused; an ignore that is not needed is an error."""
    env = CounterEnv(url)
    env.step(Count(total=1))  # type: ignore[arg-type]
    env.step({"amount": 1})  # type: ignore[arg-type]
    env.reset().observation.nothing  # type: ignore[attr-defined]
