"""Makes an environment of an MCP server that knows nothing of environments: python examples/mcp_server.py

The task is of the environment: how much is left to pay? The agent finds out with the server's tools and writes the
answer as a note. The rubric looks at the calls. Needs `pip install openenv[mcp]`.
"""

import asyncio
import sys
from pathlib import Path

from openenv.mcp import CallToolAction, CallToolObservation, MCPServerEnvironment

SERVER = [sys.executable, str(Path(__file__).parent / "servers" / "notes.py")]

CALLS = [
    CallToolAction(tool_name="search", arguments={"word": "bill"}),
    CallToolAction(tool_name="read", arguments={"title": "thursday"}),  # there is none
    CallToolAction(tool_name="read", arguments={"title": "tuesday"}),
    CallToolAction(tool_name="pay", arguments={"crowns": 20}),  # there is no such tool
    CallToolAction(tool_name="write", arguments={"title": "answer", "text": "20 crowns are left to pay."}),
]


def grade(action: CallToolAction, observation: CallToolObservation) -> float:
    """Give 1 for the right answer, and take a little for every call that fails."""
    if observation.error is not None:
        return -0.1
    return float(is_answer(action, observation) and "20" in str(action.arguments.get("text")))


def is_answer(action: CallToolAction, _observation: CallToolObservation) -> bool:
    return action.tool_name == "write" and action.arguments.get("title") == "answer"


async def main() -> None:
    env = MCPServerEnvironment(SERVER, rubric=grade, done_when=is_answer, max_steps=20)
    # To train on it: create_app(lambda: MCPServerEnvironment(...), CallToolAction | ListToolsAction, ...)
    try:
        start = (await env.reset()).observation
        print("The tools:", ", ".join(tool.name for tool in start.tools))
        for action in CALLS:
            result = await env.step(action)
            seen = result.observation
            print(f"\n{action.tool_name}({', '.join(f'{k}={v!r}' for k, v in action.arguments.items())})")
            print(f"    {seen.result if seen.error is None else f'{seen.error.error_type}: {seen.error.message}'}")
            print(f"    reward {result.reward}{', done' if result.done else ''}")
    finally:
        await env.close()


asyncio.run(main())
