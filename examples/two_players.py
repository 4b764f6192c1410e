"""Two clients play tic-tac-toe with one another: python examples/two_players.py [--no-sandbox]

Each has a loop of reset and step of its own, and neither knows that its opponent is a client, too.
"""

import argparse
import asyncio
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "servers"))

from tic_tac_toe import Mark, TicTacToeEnv

from openenv.providers import ProcessProvider, SandboxProvider


async def play(url: str, agent: str, seed: int) -> None:
    rng = random.Random(seed)
    async with TicTacToeEnv(base_url=url) as env:
        result = await env.reset(agent=agent)
        while not result.done:
            square = rng.choice(result.observation.free)
            squares = result.observation.squares
            print(f"{agent} sees {squares[:3]}/{squares[3:6]}/{squares[6:]} and takes {square}")
            result = await env.step(Mark(square=square))
        print(f"{agent} gets {result.reward:+}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    kind = ProcessProvider if parser.parse_args().no_sandbox else SandboxProvider
    async with kind("tic_tac_toe:app", cwd=str(Path(__file__).parent / "servers")) as server:
        await asyncio.gather(play(server.base_url, "x", seed=1), play(server.base_url, "o", seed=2))


if __name__ == "__main__":
    asyncio.run(main())
