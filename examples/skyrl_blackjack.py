"""Plays blackjack as SkyRL's generator does: python examples/skyrl_blackjack.py [--no-sandbox]

The environment is made by its id, begins with the prompt of a row, and takes the text of each answer. In place of a
model here is one that takes cards up to 16. Needs skyrl-gym.
"""

import argparse
import re

import skyrl_gym

from blackjack_env import BlackjackEnv
from openenv.integrations.skyrl import register, unregister
from openenv.providers import ProcessProvider, SandboxProvider

PROMPT = "You play blackjack. Answer with hit or stand."


def answer(text: str) -> str:
    """Return what a model would say to the last message."""
    total = re.search(r'"player_total":(\d+)', text)
    return "hit" if total and int(total[1]) < 17 else "stand"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    provider = ProcessProvider() if parser.parse_args().no_sandbox else SandboxProvider()
    register("blackjack", provider, BlackjackEnv, max_turns=8)
    prompt = [{"role": "user", "content": PROMPT}]
    for row in ({"env_class": "blackjack", "prompt": prompt, "seed": seed} for seed in range(4)):
        env = skyrl_gym.make(row["env_class"], env_config={}, extras=row)
        talk, _ = env.init(row["prompt"])
        said, reward, done = [], 0.0, False
        while not done:
            said.append(answer(talk[-1]["content"]))
            step = env.step(said[-1])
            talk, reward, done = [*talk, *step["observations"]], reward + step["reward"], step["done"]
        print(f"seed {row['seed']}: {', '.join(said)}; the reward is {reward:+}, {env.get_metrics()}")
        env.close()
    unregister("blackjack")


if __name__ == "__main__":
    main()
