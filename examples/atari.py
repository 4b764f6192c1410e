"""Plays Breakout of atari_env by what is on the screen: python examples/atari.py [--no-sandbox]

The server sends the pixels; the paddle goes to where the ball is.
"""

import argparse
from typing import Any

import numpy as np

from atari_env import AtariAction, AtariEnv
from openenv.providers import ProcessProvider, SandboxProvider

SERVER = "atari_env.server.app:app"
SETTINGS = {"ATARI_OBS_TYPE": "grayscale", "ATARI_FRAMESKIP": "2", "ATARI_REPEAT_ACTION_PROB": "0"}
NOTHING, FIRE, RIGHT, LEFT = range(4)
AIR, PADDLE, WALLS = slice(93, 188), slice(189, 193), slice(8, 152)
"""Where on the screen the ball flies, the paddle is, and the walls end."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    provider: Any = ProcessProvider if parser.parse_args().no_sandbox else SandboxProvider
    with AtariEnv.with_provider(provider(SERVER, env_vars=SETTINGS)) as env:
        result, score, steps = env.reset(game="breakout", seed=1), 0.0, 0
        start = result.observation
        print(f"Breakout: a screen of {start.screen.shape}, the actions {', '.join(start.action_names)}")
        lives = start.lives
        while not result.done and steps < 1500:
            result, steps = env.step(AtariAction(action_id=choose(result.observation.screen))), steps + 1
            score += result.reward
            if result.observation.lives < lives:
                lives = result.observation.lives
                print(f"    step {steps:4}: a ball was lost, {lives} left, the score is {score:.0f}")
        print(f"After {steps} steps the score is {score:.0f}.")


def choose(screen: np.ndarray) -> int:
    ball, paddle = middle(screen[AIR, WALLS]), middle(screen[PADDLE, WALLS])
    if ball is None or paddle is None:
        return FIRE
    return NOTHING if abs(ball - paddle) < 4 else RIGHT if ball > paddle else LEFT


def middle(area: np.ndarray) -> float | None:
    """Return in which column there is something, on average."""
    columns = np.flatnonzero(area.any(axis=0))
    return float(columns.mean()) if columns.size else None


if __name__ == "__main__":
    main()
