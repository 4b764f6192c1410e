"""Plays 2048 by moves and by a strategy given as code: python examples/game2048.py [--no-sandbox]

The strategy is a text, as a model would write it. It runs in a workspace of its own, where it can do no harm.
"""

import argparse

from game2048_env import Game2048Action, Game2048Env, RunStrategy
from game2048_env.policies import SNAKE
from openenv.providers import ProcessProvider, SandboxProvider

CARELESS = "def strategy(board):\n    return 'A'\n"
ENDLESS = "def strategy(board):\n    while True:\n        pass\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    provider = ProcessProvider() if parser.parse_args().no_sandbox else SandboxProvider()
    with Game2048Env.with_provider(provider) as env:
        result = env.reset(seed=0)
        for _ in range(3):
            move = result.observation.legal_actions[0]
            result = env.step(Game2048Action(move=move))
            print(f"{move}, for {result.reward:g} points:\n{result.observation.text}\n")
        for name, code in (("a careless one", CARELESS), ("an endless one", ENDLESS), ("a good one", SNAKE)):
            result = env.step(RunStrategy(code=code, timeout_seconds=2 if code is ENDLESS else 30))
            report = result.observation.strategy
            assert report is not None
            print(f"A strategy, {name}: {report.moves} moves, {result.reward:g} points, ended by: {report.ended}")
            if report.error:
                print(f"    {report.error}")
        print(f"\n{result.observation.text}\n\nThe score is {result.observation.score}.")


if __name__ == "__main__":
    main()
