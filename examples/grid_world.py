"""Walks over the grid of grid_world_env: python examples/grid_world.py [--no-sandbox]"""

import argparse

from grid_world_env import GridWorldAction, GridWorldEnv
from grid_world_env.policies import shortest
from openenv.providers import ProcessProvider, SandboxProvider


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    provider = ProcessProvider() if parser.parse_args().no_sandbox else SandboxProvider()
    total = 0.0
    with GridWorldEnv.with_provider(provider) as env:
        result = env.reset(seed=1)
        print(f"A is the agent, G the goal.\n\n{result.observation.text}")
        while not result.done:
            move = shortest(result.observation)
            result = env.step(GridWorldAction(move=move))
            total += result.reward
            print(f"\n{move}: reward {result.reward:+}\n{result.observation.text}")
    print(f"\nThe episode's return: {total:+.1f}")


if __name__ == "__main__":
    main()
