"""Plays Wordle and tic-tac-toe of textarena_env: python examples/text_games.py [--no-sandbox]

A policy that keeps the words which can still be meant, then random moves against random moves.
"""

import argparse

from openenv.providers import ProcessProvider, SandboxProvider
from textarena_env import TextArenaAction, TextArenaEnv
from textarena_env.policies import WORDS, marks


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    provider = ProcessProvider() if parser.parse_args().no_sandbox else SandboxProvider()
    with TextArenaEnv.with_provider(provider) as env:
        result = env.reset(seed=3)
        print(result.observation.prompt)
        words = list(WORDS)
        while not result.done:
            guess = words[len(words) // 2]
            result = env.step(TextArenaAction(message=f"[{guess}]"))
            if not result.done:
                told = result.observation.messages[-1].content.splitlines()[3].replace(" ", "")
                words = [word for word in words if word != guess and marks(guess, word) == told]
                print(f"{guess}: {told}, {len(words)} words are left")
        print(f"{guess}: {result.observation.reason} The reward is {result.reward}.\n")

        result = env.reset(seed=4, env_id="TicTacToe-v0", opponent_policy="random")
        print("Tic-tac-toe, the agent takes the last free square:")
        while not result.done:
            result = env.step(TextArenaAction(message=result.observation.legal_actions[-1]))
        print(result.observation.messages[-1].content.partition("\n\nAvail")[0])
        print(f"{result.observation.reason} The reward is {result.reward}.")


if __name__ == "__main__":
    main()
