"""Plays CartPole and a frozen lake of Gymnasium: python examples/cartpole.py [--no-sandbox]

One server has both; what their actions are, each tells by its JSON Schema.
"""

import argparse

from gymnasium_env import GymnasiumAction, GymnasiumEnv
from openenv.providers import ProcessProvider, SandboxProvider

SERVER = "gymnasium_env.server.app:app"
ARROWS = ("left", "down", "right", "up")
SAFEST = (0, 3, 3, 3, 0, 0, 0, 0, 3, 1, 0, 0, 0, 2, 1, 0)
"""The best action on each field of the lake, counted by rows."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    provider = ProcessProvider(SERVER) if parser.parse_args().no_sandbox else SandboxProvider(SERVER)
    with GymnasiumEnv.with_provider(provider) as env:
        balance(env)
        cross(env)


def balance(env: GymnasiumEnv) -> None:
    result, total = env.reset(seed=1), 0.0
    print(f"CartPole: an action is {result.observation.action_space}")
    while not result.done:
        place, speed, angle, turning = result.observation.observation
        push = int(0.1 * place + 0.3 * speed + 3 * angle + turning > 0)
        result = env.step(GymnasiumAction(action=push))
        total += result.reward
        if total % 100 == 0:
            print(f"    {total:3.0f} steps: the pole leans by {angle:+.3f} rad, the cart is at {place:+.2f} m")
    print(f"    The episode was {'cut off' if result.truncated else 'over'}; the return is {total:.0f}.\n")


def cross(env: GymnasiumEnv) -> None:
    result, steps = env.reset(env_id="FrozenLake-v1", seed=1), 0
    print(f"FrozenLake, where one slips: an action is {result.observation.action_space}")
    while not result.done:
        field = result.observation.observation
        result, steps = env.step(GymnasiumAction(action=SAFEST[field])), steps + 1
        if steps <= 8:
            row, column = divmod(result.observation.observation, 4)
            print(f"    {ARROWS[SAFEST[field]]:5} leads to row {row}, column {column}")
    print(f"    After {steps} steps the episode was over, with reward {result.reward}.")


if __name__ == "__main__":
    main()
