"""Calls of a trivial tool: by the official MCP client beside the official server, by a typed client beside a step.

Both servers offer the same function, each in a process of its own; the same client in this process calls them in
turns, in rounds. A typed client takes steps and calls in turns on one session. Last, a hundred MCP clients are
open at once, and each calls the tool with numbers of its own.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks._figures import Bench, BenchmarkError, Figure, Limit
from benchmarks._processes import HOST, Child, environ, free_port
from echo_env import EchoAction, EchoEnv
from openenv.providers import ProcessProvider

SERVER = Path(__file__).with_name("tools") / "environment.py"
CALLS, CLIENTS, EACH = 200, 100, 10
READY_S = 30.0
SOURCES = Path(__file__).parents[1] / "src"
ECHO = Path(__file__).parents[1] / "envs" / "echo_env"


def run(bench: Bench) -> list[Figure]:
    """Measure all three."""
    try:
        import mcp  # noqa: F401
    except ImportError as error:
        raise BenchmarkError("The official client is not here: pip install 'openenv[mcp]'") from error
    with _server("ours") as ours, _server("official") as official:
        figures = asyncio.run(_beside_official(bench, {"ours": ours, "official": official}))
        figures += asyncio.run(_many(ours))
    return figures + _typed(bench)


@contextmanager
def _server(kind: str) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, str(SERVER), kind, str(port)]
    with ExitStack() as stack:
        child = stack.enter_context(Child(f"The server ({kind})", command, environ(str(SOURCES))))
        stack.callback(child.process.terminate)  # neither server looks at its input
        url = f"http://{HOST}:{port}/mcp"
        end = time.monotonic() + READY_S
        while True:
            try:
                httpx.get(url, timeout=1)
                break
            except httpx.TransportError as error:
                if time.monotonic() > end or child.process.poll() is not None:
                    raise child.failed("does not listen") from error
                time.sleep(0.05)
        yield url


async def _beside_official(bench: Bench, urls: dict[str, str]) -> list[Figure]:
    from mcp import Client

    taken: dict[str, list[float]] = {name: [] for name in urls}
    for _ in range(bench.rounds):
        for name, url in urls.items():
            async with Client(url) as client:
                await client.list_tools()
                await _right(client)

                async def call(client: Any = client) -> None:
                    await client.call_tool("add", {"a": 1, "b": 2})

                taken[name].append(await _rate(call))
    rates = {name: statistics.median(found) for name, found in taken.items()}
    ratio = rates["ours"] / rates["official"]
    return [
        Figure("a trivial tool through /mcp, official client: ours", rates["ours"], "calls/s"),
        Figure("... the official SDK's own server", rates["official"], "calls/s"),
        Figure("... ours in terms of that", ratio, digits=2, limit=Limit("least", 0.7)),
    ]


async def _right(client: Any) -> None:
    answer = await client.call_tool("add", {"a": 1, "b": 2})
    if answer.structured_content != {"result": 3}:
        raise BenchmarkError(f"1 + 2 is {answer!r}")


async def _rate(call: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        await call()
    return CALLS / (time.perf_counter() - began)


async def _many(url: str) -> list[Figure]:
    """Have a hundred clients call at once; each numbers differently."""
    from mcp import Client

    async def play(number: int) -> tuple[int, int]:
        failed = foreign = 0
        try:
            async with Client(url) as client:
                for turn in range(EACH):
                    answer = await client.call_tool("add", {"a": 1000 * number, "b": turn})
                    failed += answer.is_error
                    foreign += answer.structured_content != {"result": 1000 * number + turn}
        except Exception:
            failed += 1
        return failed, foreign

    began = time.perf_counter()
    played = await asyncio.gather(*(play(number) for number in range(CLIENTS)))
    seconds = time.perf_counter() - began
    none = Limit("most", 0)
    what = f"{CLIENTS} MCP sessions at once, {EACH} calls each"
    return [
        Figure(f"{what}: failures", sum(failed for failed, _ in played), limit=none),
        Figure("... answers meant for another", sum(foreign for _, foreign in played), limit=none),
        Figure("... from the first handshake to the last answer", seconds, "s", digits=2),
    ]


def _typed(bench: Bench) -> list[Figure]:
    """Measure calls and steps of one client in turns."""

    async def measured(url: str) -> tuple[list[float], list[float]]:
        steps, calls = [], []
        async with EchoEnv(base_url=url) as env:
            await env.reset()

            async def step() -> None:
                await env.step(EchoAction(message="hello"))

            async def call() -> None:
                await env.call_tool("echo_message", message="hello")

            for way in (step, call):
                await _rate(way)
            for _ in range(10 * bench.rounds):
                steps.append(await _rate(step))
                calls.append(await _rate(call))
        return steps, calls

    with ProcessProvider(ECHO) as provider:
        steps, calls = asyncio.run(measured(provider.base_url))
    step, call = 1e6 / statistics.median(steps), 1e6 / statistics.median(calls)
    ratio = statistics.median(step / call for step, call in zip(steps, calls, strict=True))  # each beside its own
    return [
        Figure("a typed client: a plain step", step, "µs"),
        Figure("... the call of a tool", call, "µs"),
        Figure("... in steps' time", ratio, digits=2, limit=Limit("most", 1.3)),
    ]
