"""Plays hands of blackjack_env, and compares two policies: python examples/blackjack.py [--no-sandbox]"""

import argparse

from blackjack_env import BlackjackAction, BlackjackEnv
from blackjack_env.policies import ORACLE_EXPECTED, STAND_EXPECTED, best, oracle, stand
from openenv.providers import ProcessProvider, SandboxProvider

HANDS = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    provider = ProcessProvider() if parser.parse_args().no_sandbox else SandboxProvider()
    with BlackjackEnv.with_provider(provider) as env:
        for seed in range(3):
            result = env.reset(seed=seed)
            print(result.observation.text)
            while not result.done:
                move = best(result.observation)
                result = env.step(BlackjackAction(move=move))
                print(f"  {move}: {result.observation.text}")
            print(f"  The reward is {result.reward:+}.\n")
        for policy, expected in ((oracle, ORACLE_EXPECTED), (stand, STAND_EXPECTED)):
            earned = sum(policy(env, seed=seed) for seed in range(HANDS)) / HANDS
            print(f"{policy.__name__:>6}: {earned:+.3f} a hand in {HANDS} hands, {expected:+.3f} in the long run")


if __name__ == "__main__":
    main()
