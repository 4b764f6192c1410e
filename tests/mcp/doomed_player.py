"""A program that plays an episode on an MCP server and waits to be killed: `doomed_player.py COMMAND ...`."""

import asyncio
import sys

from openenv.mcp import CallToolAction
from openenv.mcp.foreign import MCPServerEnvironment


async def main() -> None:
    env = MCPServerEnvironment(sys.argv[1:])
    await env.reset()
    seen = [(await env.step(CallToolAction(tool_name=name))).observation.result for name in ("pid", "child")]
    print(*seen, flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
