"""The same episode by step, by MCP over HTTP and by MCP over stdio: the same observations, rewards and end."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import fastmcp
import httpx
import mcp
from mcp.client.stdio import StdioServerParameters, stdio_client
from tests.mcp.shops import AskAction, GuessAction, Guessing, Hint
from tests.servers import Server

from openenv.client import EnvClient
from openenv.models import State

ROOT = Path(__file__).parents[2]
SEED = 7
EPISODE = [AskAction(), GuessAction(number=50), AskAction(politely=False), GuessAction(number=10)]
EPISODE += [GuessAction(number=n) for n in (30, 20, 25)]  # the seventh try is the last

Seen = tuple[dict[str, Any], Any, bool, bool]


class GuessingEnv(EnvClient[GuessAction | AskAction, Hint, State]):
    """The typed client."""


async def by_steps(url: str) -> list[Seen]:
    seen = []
    async with GuessingEnv(url) as env:
        await env.reset(seed=SEED)
        for action in EPISODE:
            result = await env.step(action)
            observation = result.observation.model_dump(exclude={"reward", "done", "metadata"})
            seen.append((observation, result.reward, result.done, result.truncated))
    return seen


async def by_tools_of_the_typed_client(url: str) -> list[Seen]:
    seen = []
    async with GuessingEnv(url) as env:
        await env.reset(seed=SEED)
        for name, arguments in map(call_of, EPISODE):
            observation = await env.call_tool(name, **arguments)
            result = env.last_result
            shown = observation.model_dump(exclude={"reward", "done", "metadata"})
            seen.append((shown, result.reward, result.done, result.truncated))
    return seen


async def by_mcp(client: mcp.Client) -> list[Seen]:
    seen = []
    for name, arguments in map(call_of, EPISODE):
        result = await client.call_tool(name, arguments)
        assert not result.is_error, result
        graded = result.meta["openenv/result"]
        seen.append((result.structured_content, graded["reward"], graded["done"], graded.get("truncated", False)))
    return seen


def call_of(action: GuessAction | AskAction) -> tuple[str, dict[str, Any]]:
    """Return the tool and arguments that an action is."""
    name = "guess" if isinstance(action, GuessAction) else "ask"
    return name, action.model_dump(exclude={"metadata"})


async def over_http(server: Server) -> list[Seen]:
    async with httpx.AsyncClient(base_url=server.url) as trainer:
        session = (await trainer.post("/sessions")).json()["session_id"]
        await trainer.post(f"/sessions/{session}/reset", json={"seed": SEED})
        async with mcp.Client(f"{server.url}/mcp?session_id={session}") as client:
            return await by_mcp(client)


async def over_stdio() -> list[Seen]:
    command = ["-m", "openenv", "mcp", "tests.mcp.shops:Guessing", "--reset", f"seed={SEED}"]
    parameters = StdioServerParameters(command=sys.executable, args=command, cwd=ROOT, env=_environ())
    async with mcp.Client(stdio_client(parameters)) as client:
        return await by_mcp(client)


def _environ() -> dict[str, str]:
    import os

    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


async def test_the_same_episode_by_step_by_mcp_over_http_and_by_mcp_over_stdio(serve):
    server = serve(Guessing)
    steps, tools, http, stdio = await asyncio.gather(
        by_steps(server.url), by_tools_of_the_typed_client(server.url), over_http(server), over_stdio()
    )
    assert len(steps) == len(EPISODE)
    assert steps[-1][2:] == (True, True)
    assert {reward for _, reward, _, _ in steps} == {-0.5, -1.0}
    assert tools == steps
    assert http == steps
    assert stdio == steps


async def test_fastmcp_plays_over_stdio_too():
    transport = fastmcp.client.transports.StdioTransport(
        command=sys.executable,
        args=["-m", "openenv", "mcp", "tests.mcp.shops:Guessing", "--mode", "production"],
        env=_environ(),
        cwd=str(ROOT),
    )
    async with fastmcp.Client(transport) as client:
        assert {one.name for one in await client.list_tools()} == {"ask", "guess"}
        result = await client.call_tool("ask", {})
        assert result.structured_content["tries_left"] == 6
        assert result.meta["openenv/result"] == {"done": False}
