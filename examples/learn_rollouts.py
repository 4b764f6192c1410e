"""Learns to play catch: python examples/learn_rollouts.py [--model Qwen/Qwen3-4B --steps 300 --vllm ...]

GRPO through `rollout_func`: an episode is a conversation of a model and a game, one move in each turn, and only at
its end there is a reward: +1 if the ball was caught, else -1. What the game says is masked: the model learns
from its own words only. The small model has seen conversations in which about half of the moves are right.

`--faults 0.1` breaks every tenth environment: those rollouts are left out, and counted, and the rest learns.
"""

import random
import sys
import tempfile
from typing import Any

import _learning as learning
from datasets import Dataset

from openenv.integrations.trl import rollout_func, rollout_reward
from openspiel_env import OpenSpielAction, OpenSpielEnv, OpenSpielObservation

RISE = 0.5
"""What each seed's mean reward must rise by, stated before it was run; it lies between -1 and 1."""

ROWS, COLUMNS = 4, 5
MOVES = ("left", "stay", "right")
TASK = "Catch the ball. Answer with left, stay or right."


def tell(seen: OpenSpielObservation) -> str:
    """Say where the ball is, as seen from the paddle."""
    ball = seen.info_state.index(1.0) % COLUMNS
    paddle = seen.info_state.index(1.0, len(seen.info_state) - COLUMNS) % COLUMNS
    return said(ball - paddle)


def said(offset: int) -> str:
    where = f"{abs(offset)} to the {'left' if offset < 0 else 'right'}" if offset else "above"
    return f"The ball is {where}."


def act(words: str) -> OpenSpielAction:
    """Make a move of what the model says."""
    if words not in MOVES:
        raise ValueError("Answer with left, stay or right.")
    return OpenSpielAction(action_id=MOVES.index(words))


def shown(seed: int) -> list[tuple[str, str]]:
    """Return conversations as they could be, of whose moves about half are right."""
    draw = random.Random(seed)
    samples = []
    for _ in range(200):
        seen = draw.randint(-(COLUMNS // 2), COLUMNS // 2)
        asked = learning.user(f"{TASK}\n{said(seen)}")
        for _ in range(draw.randrange(ROWS - 1)):
            seen = draw.randint(1 - COLUMNS, COLUMNS - 1)
            asked += draw.choice(MOVES) + learning.END + "\n" + learning.user(said(seen))
        right = MOVES[1 + (seen > 0) - (seen < 0)]
        samples.append((asked, draw.choice((right, *MOVES))))
    return samples


def run(flags: Any, url: str, seed: int, learning_rate: float) -> learning.Run:
    from trl import GRPOTrainer

    if flags.model:
        model, tokenizer = learning.loaded(flags.model)
    else:
        tokenizer = learning.tokenizer_of([text for sample in shown(0) for text in sample], size=400, phrases=True)
        model = learning.model_of(tokenizer, seed, spread=0.1)
        learning.warm_start(model, tokenizer, shown(seed), steps=150, seed=seed)
    rows = [
        {
            "prompt": [{"role": "user", "content": TASK}],
            "game_name": "catch",
            "game_params": {"rows": ROWS, "columns": COLUMNS},
            "seed": 1000 * seed + number,
        }
        for number in range(flags.steps * flags.batch // flags.generations)
    ]
    rollouts = rollout_func(url, OpenSpielEnv, act=act, tell=tell, turn_tokens=flags.turn_tokens, unfinished=-1.0)
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=model,
            args=learning.config(flags, folder, seed, learning_rate, max_completion_length=flags.length, top_p=0.9),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            rollout_func=rollouts,
            reward_funcs=[rollout_reward],
        )
        trainer.train()
    rollouts.close()
    return learning.Run(learning.rewards(trainer), rollouts.episodes.counts)


def main() -> int:
    flags = learning.parser(__doc__, steps=40, learning_rate=1e-3, generations=8, batch=64)
    flags.add_argument("--length", type=int, default=160, help="tokens of an episode")
    flags.add_argument("--turn-tokens", type=int, default=8, help="tokens of an answer")
    flags = flags.parse_args()
    game = "openspiel_env.server.openspiel_environment:OpenSpielEnvironment"
    with learning.served(flags, game, "openspiel_env.server.app:app") as url:
        return learning.judged("learn_rollouts", flags, lambda *how: run(flags, url, *how), RISE)


if __name__ == "__main__":
    sys.exit(main())
