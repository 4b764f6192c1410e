"""A trainer's own generation, whichever that is: transformers, vLLM in its process, or a server of vLLM's."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from openenv.integrations.trl.dialogue import Dialogue

__all__ = ["Generation"]


class Generation:
    """The trainer's model as it answers.

    Args:
        trainer: Of TRL.

    Attributes:
        dialogue: Its tokens and templates.
        room: Tokens of an episode after its prompt, at most.
        longest: Tokens that the model can take in, at most.
        has_logprobs: Whether its generation says how likely its tokens were.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self.dialogue = Dialogue(
            trainer.processing_class,
            getattr(trainer, "chat_template", None),
            getattr(trainer, "chat_template_kwargs", None),
        )
        self.room: int = trainer.max_completion_length
        self.longest = _longest(trainer)
        self.has_logprobs = True

    def left(self, prompt: int, after: int) -> int:
        """Return how many tokens an episode may still have.

        Args:
            prompt: Tokens of its prompt.
            after: Tokens it has had since.
        """
        return max(0, min(self.room - after, self.longest - prompt - after))

    def answers(
        self, ids: Sequence[list[int]], most: int
    ) -> tuple[list[list[int]], list[list[float | None]] | None]:
        """Return what the model says next in each dialogue, and the logarithms of its probabilities, if it tells.

        Args:
            ids: The dialogues so far.
            most: Tokens of an answer at most.
        """
        generate = self._trainer._generate_single_turn
        several = "num_generations" in inspect.signature(generate).parameters
        with _at_most(self._trainer, most):
            answers, logprobs = generate(list(ids), None, {}, **({"num_generations": 1} if several else {}))
        self.has_logprobs &= logprobs is not None
        return answers, logprobs


@contextmanager
def _at_most(trainer: Any, tokens: int) -> Iterator[None]:
    """Let a trainer's generation make no more than some tokens."""
    vllm = getattr(trainer, "vllm_generation", None)
    place, name = (vllm, "max_completion_length") if vllm else (trainer.generation_config, "max_new_tokens")
    before = getattr(place, name)
    setattr(place, name, tokens)
    try:
        yield
    finally:
        setattr(place, name, before)


def _longest(trainer: Any) -> int:
    vllm = getattr(trainer, "vllm_generation", None)
    if vllm and getattr(vllm, "mode", "") == "colocate":
        longest: int = vllm.llm.llm_engine.model_config.max_model_len
        return longest
    config = trainer.model.config.get_text_config()
    return getattr(config, "max_position_embeddings", None) or sys.maxsize
