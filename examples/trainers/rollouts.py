"""Rollout functions to be named in the configuration of Axolotl and Oumi; see `axolotl.yaml` and `oumi.yaml`."""

import os
from collections.abc import Sequence
from typing import Any

import httpx

from openenv.integrations.trl import rollout_func, rollout_reward
from openenv.rollouts import Episodes

URL = os.environ.get("BLACKJACK_URL", "http://127.0.0.1:8000")

play = rollout_func(URL)
"""Axolotl hands it to TRL: `rollouts.play(prompts, trainer)`."""

reward = rollout_reward
"""Its reward function: `rollouts.reward`."""

_episodes = Episodes(URL)


def oumi_blackjack(prompts: Sequence[Any], args: Any, processing_class: Any = None) -> dict[str, Any]:
    """Play an episode for each prompt by one answer, which is the move until the hand is over.

    TRL before 1.0 hands over its arguments and the tokenizer, and a rollout function generates by TRL's vLLM
    server; since then it hands over the trainer, and `play` does all of it.

    Args:
        prompts: Already repeated, one for each completion.
        args: Of the trainer, or the trainer.
        processing_class: The tokenizer; None if there is a trainer.

    Returns:
        The tokens as they were generated, and `env_reward`: None for an episode that broke.
    """
    if processing_class is None:
        return play(prompts, args)
    texts = [one if isinstance(one, str) else one[-1]["content"] for one in prompts]
    asked = {"prompts": texts, "n": 1, "max_tokens": args.max_completion_length}
    made = httpx.post(f"{args.vllm_server_base_url}/generate/", json=asked, timeout=600).raise_for_status().json()
    words = [processing_class.decode(ids, skip_special_tokens=True) for ids in made["completion_ids"]]
    played = [_episodes.begin(seed=number)[0] for number in range(len(words))]
    hands = [
        (episode, {"move": "hit" if "hit" in said else "stand"})
        for episode, said in zip(played, words, strict=True)
    ]
    while hands:
        steps = [(episode, move, episode.step(move)) for episode, move in hands]
        hands = [(episode, move) for episode, move, step in steps if not step.result().done]
    rewards = [episode.reward for episode in played]
    for episode in played:
        episode.end()
    return {**{name: made[name] for name in ("prompt_ids", "completion_ids", "logprobs")}, "env_reward": rewards}


try:
    from oumi.core.registry import RegistryType, register
except ModuleNotFoundError:  # then Axolotl or TRL imports this
    pass
else:
    register("openenv_blackjack", RegistryType.ROLLOUT_FUNCTION)(oumi_blackjack)
