"""Policies for Wordle on a blocking client: one that narrows the words down, and one that does not listen."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .models import TextArenaAction

EXAMPLE = {"seed": 1}
MAX_RETURN: float = 1.0
MIN_RETURN: float = 0.0
GUESSES = 6
WORDS = tuple(
    word for word in (Path(__file__).parent / "words.txt").read_text(encoding="utf-8").split() if len(word) == 5
)


def oracle(env: Any, **reset: Any) -> float:
    """Play Wordle by the words that can still be meant, and return the reward: `MAX_RETURN`.

    Args:
        env: A blocking client.
        **reset: For the reset, such as `seed`.
    """
    result = env.reset(env_id="Wordle-v0", **reset)
    left = list(WORDS)
    while not result.done:
        guess = max(left[:20], key=lambda word: len({marks(word, secret) for secret in left}))
        result = env.step(TextArenaAction(message=f"[{guess}]"))
        told = _feedback(result.observation.messages)
        left = [word for word in left if word != guess and marks(guess, word) == told] or left
    return float(result.reward or 0.0)


def null(env: Any, **reset: Any) -> float:
    """Play one episode of Wordle with the first words of the list, and return its reward."""
    result = env.reset(env_id="Wordle-v0", **reset)
    for word in WORDS[:GUESSES]:
        if result.done:
            break
        result = env.step(TextArenaAction(message=f"[{word}]"))
    return float(result.reward or 0.0)


def marks(guess: str, secret: str) -> str:
    """Return what Wordle says to a guess: G for the right place, Y for another one, X for none."""
    told = ["G" if mine == right else "X" for mine, right in zip(guess, secret, strict=True)]
    free = [right for mark, right in zip(told, secret, strict=True) if mark != "G"]
    for place, letter in enumerate(guess):
        if told[place] != "G" and letter in free:
            told[place] = "Y"
            free.remove(letter)
    return "".join(told)


def _feedback(messages: Iterable[Any]) -> str:
    for message in messages:
        lines = message.content.splitlines()
        if "Feedback:" in lines:
            return "".join(lines[lines.index("Feedback:") + 2].split())
    return ""
