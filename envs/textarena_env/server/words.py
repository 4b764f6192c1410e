"""Word games without a download: the words shipped with this package, and spelling from TextArena's own files.

TextArena's word games fetch lists with nltk when they are imported and constructed. Here nothing is fetched: what
cannot do without is refused by `games`, and Wordle and Hangman draw from `words.txt`.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import nltk

nltk.download = lambda *_args, **_options: False

_LIST = Path(__file__).parents[1] / "words.txt"


@cache
def shipped() -> tuple[str, ...]:
    """Return the words of the list: common nouns, in lower case."""
    return tuple(_LIST.read_text(encoding="utf-8").split())


class Spelling:
    """Tells English words: those of the list, and those of TextArena's dictionaries with usual endings."""

    def is_english_word(self, word: str) -> bool:
        """Return whether it is one; `Wordle` asks by this name."""
        word = word.lower()
        return word in shipped() or word in _dictionary()


@cache
def _dictionary() -> frozenset[str]:
    import textarena

    folder = Path(textarena.__file__).parent / "envs" / "utils" / "data"
    stems: set[str] = set()
    for name in ("en_US.dic", "en_GB.dic"):
        for line in (folder / name).read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
            stem, _, flags = line.partition("/")
            if re.fullmatch("[a-z]+", stem):
                stems.add(stem)
                stems.update(_endings(stem, flags))
    return frozenset(stems)


def _endings(stem: str, flags: str) -> list[str]:
    """Return a stem with the endings that its flags allow: plural, past and -ing."""
    consonant_y = re.fullmatch(".*[^aeiou]y", stem) is not None
    found = []
    if "S" in flags:
        found.append(
            stem[:-1] + "ies" if consonant_y else stem + ("es" if re.search("(s|x|z|[cs]h)$", stem) else "s")
        )
    if "D" in flags:
        found.append(stem + "d" if stem.endswith("e") else stem[:-1] + "ied" if consonant_y else stem + "ed")
    if "G" in flags:
        found.append((stem.removesuffix("e")) + "ing")
    return found


@cache
def wordle() -> type[Any]:
    """Return TextArena's Wordle on the shipped words."""
    import textarena as ta

    with _shipped_corpus():
        from textarena.envs.Wordle.env import WordleEnv

    class Wordle(WordleEnv):  # type: ignore[misc]
        """Words of the length asked for; guesses are English words."""

        def __init__(self, word_length: int = 5, num_guesses: int = 6, hardcore: bool = False) -> None:
            ta.Env.__init__(self)
            self.word_length, self.num_guesses = word_length, num_guesses
            self.word_list = [word for word in shipped() if len(word) == word_length]
            self.dictionary = Spelling()

    return Wordle


@cache
def hangman() -> type[Any]:
    """Return TextArena's Hangman on the shipped words."""
    with _shipped_corpus():
        from textarena.envs.Hangman.env import HangmanEnv

    return HangmanEnv  # type: ignore[no-any-return]


@contextmanager
def _shipped_corpus() -> Iterator[None]:
    """Have nltk find the shipped words while a game is imported; other games are to find what there is."""
    from nltk import corpus

    before = corpus.words, nltk.pos_tag
    corpus.words, nltk.pos_tag = _Corpus(), lambda tokens: [(token, "NN") for token in tokens]
    try:
        yield
    finally:
        corpus.words, nltk.pos_tag = before


class _Corpus:
    """Has the one method that those two ask nltk's word list for."""

    def words(self, _name: str = "") -> list[str]:
        """Return the shipped words."""
        return list(shipped())


SHIPPED: dict[str, Callable[[], type[Any]]] = {"Wordle": wordle, "Hangman": hangman}
"""Games on the shipped list, by the first part of their name."""
