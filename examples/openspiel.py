"""Plays two games of openspiel_env: python examples/openspiel.py [--no-sandbox]

Catch with a policy that runs after the ball, then tic-tac-toe against an opponent that cannot be beaten.
"""

import argparse

from openenv.providers import ProcessProvider, SandboxProvider
from openspiel_env import OpenSpielAction, OpenSpielEnv, OpenSpielObservation

COLUMNS = 5


def after_the_ball(seen: OpenSpielObservation) -> int:
    ball = seen.info_state.index(1.0) % COLUMNS
    paddle = seen.info_state.index(1.0, len(seen.info_state) - COLUMNS) % COLUMNS
    return 1 + (ball > paddle) - (ball < paddle)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    provider = ProcessProvider() if parser.parse_args().no_sandbox else SandboxProvider()
    with OpenSpielEnv.with_provider(provider) as env:
        result = env.reset(seed=4, game_name="catch")
        print(f"Catch, as it begins:\n\n{result.observation.text}")
        while not result.done:
            move = after_the_ball(result.observation)
            print(result.observation.action_names[move], end=" ")
            result = env.step(OpenSpielAction(action_id=move))
        print(f"\n\n{result.observation.text}\nThe reward is {result.reward:+}.\n")

        result = env.reset(seed=4, game_name="tic_tac_toe", opponent_policy="minimax")
        print("Tic-tac-toe: x takes the first free square, o plays perfectly.")
        while not result.done:
            result = env.step(OpenSpielAction(action_id=result.observation.legal_actions[0]))
            print(f"\n{result.observation.text}")
        print(f"\nThe reward is {result.reward:+}.")


if __name__ == "__main__":
    main()
