"""Tasks over a long text, made of a seed: the text, a question about it, and the answer, which stays in the server.

The text is the diary of a harbour: lines of events, a few of which matter. They are drawn from small word lists, so
a line that matters looks like those that do not, and the text cannot be known in advance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from openenv.errors import InvalidRequestError

SMALLEST, LARGEST = 10_000, 8_000_000

SHIPS = ["Albatross", "Bonnie", "Cormorant", "Dolphin", "Esmeralda", "Fulmar", "Gannet", "Heron", "Isolde", "Juno"]
GOODS = ["barley", "coal", "dates", "hemp", "iron", "linen", "oranges", "salt", "timber", "wine"]
PEOPLE = ["Ada", "Bruno", "Clara", "Dmitri", "Edda", "Farid", "Greta", "Hiro", "Ines", "Jonas"]
PLACES = ["the customs house", "the east quay", "the north mole", "the old crane", "the rope walk", "the west pier"]
TOWNS = ["Aarhus", "Bergen", "Cadiz", "Danzig", "Emden", "Faro", "Genoa", "Hull", "Ibiza", "Jaffa"]
WEATHER = ["Fog until noon.", "Light wind from the west.", "Rain, then sun.", "Swell from the north.", "Calm."]


@dataclass(frozen=True)
class Task:
    """A question about a long text.

    Attributes:
        id: Which kind it is of.
        context: The text.
        question: What is to be answered.
        answer: What is right: a text, or a number.
    """

    id: str
    context: str
    question: str
    answer: str | int

    def reward(self, answer: Any) -> float:
        """Return 1.0 for the right answer, else 0.0; case and space around a text do not matter."""
        if isinstance(self.answer, int):
            return float(_number(answer) == self.answer)
        return float(isinstance(answer, str) and answer.strip().casefold() == self.answer.casefold())


def _number(answer: Any) -> float | None:
    if isinstance(answer, bool):
        return None
    try:
        return float(answer)
    except (TypeError, ValueError, OverflowError):
        return None


# --- the kinds ---------------------------------------------------------------------------------------


def needle(random: Random, size: int) -> tuple[list[str], str, str | int]:
    """One line tells a number; others tell numbers of other things."""
    keeper, *others = random.sample(PEOPLE, 4)
    place = random.choice(PLACES)
    code = random.randint(100_000, 999_999)
    said = [(keeper, place, code)]
    said += [(other, place, random.randint(100_000, 999_999)) for other in others]
    said += [(keeper, other, random.randint(100_000, 999_999)) for other in PLACES if other != place]
    facts = [f"{who} has changed the lock of {where}: the number is now {number}." for who, where, number in said]
    lines = _diary(random, size, facts)
    return lines, f"Which number has the lock of {place} that {keeper} changed? Answer with the number.", code


def counting(random: Random, size: int) -> tuple[list[str], str, str | int]:
    """Count the lines that tell of the same thing."""
    ship, good = random.choice(SHIPS), random.choice(GOODS)
    lines = _diary(random, size, [_unloading(random, ship, good) for _ in range(random.randint(3, 9))])
    found = sum(f"The {ship} has unloaded" in line and line.endswith(f" of {good}.") for line in lines)
    return lines, f"How many times has the {ship} unloaded {good}? Answer with the number.", found


def join_two_facts(random: Random, size: int) -> tuple[list[str], str, str | int]:
    """One line leads to another: who commands which ship, and where each ship winters."""
    captains = dict(zip(SHIPS, random.sample(PEOPLE, len(SHIPS)), strict=True))
    towns = dict(zip(SHIPS, random.sample(TOWNS, len(SHIPS)), strict=True))
    facts = [f"{captains[ship]} is the new captain of the {ship}." for ship in SHIPS]
    facts += [f"This year the {ship} will winter in {towns[ship]}." for ship in SHIPS]
    lines = _diary(random, size, facts)
    ship = random.choice(SHIPS)
    question = (
        f"In which town will the ship winter whose captain is {captains[ship]}? Answer with the name of the town."
    )
    return lines, question, towns[ship]


KINDS: dict[str, Callable[[Random, int], tuple[list[str], str, str | int]]] = {
    make.__name__: make for make in (needle, counting, join_two_facts)
}


def make_task(kind: str | None, size: int, seed: int) -> Task:
    """Return a task.

    Args:
        kind: Its kind, one of `KINDS`; None to draw one.
        size: Characters of the text, about.
        seed: The same one makes the same task.

    Raises:
        InvalidRequestError: There is no such kind, or the size is not allowed.
    """
    random = Random(seed)
    drawn = random.choice(sorted(KINDS))
    name = drawn if kind is None else kind
    if name not in KINDS:
        raise InvalidRequestError(f"There is no task {name!r}; there are {', '.join(KINDS)}")
    if not SMALLEST <= size <= LARGEST:
        raise InvalidRequestError(f"A context has {SMALLEST:,} to {LARGEST:,} characters, and not {size:,}")
    lines, question, answer = KINDS[name](random, size)
    return Task(name, "\n".join(lines) + "\n", question, answer)


# --- the text ----------------------------------------------------------------------------------------


def _diary(random: Random, size: int, facts: list[str]) -> list[str]:
    """Return lines of about so many characters, with the facts in places of their own among them."""
    lines: list[str] = []
    length = 0
    while length < size:
        line = random.choice(_EVENTS)(random)
        lines.append(line)
        length += len(line) + 1
    for place, fact in zip(random.sample(range(len(lines)), len(facts)), facts, strict=True):
        lines[place] = fact
    return lines


def _unloading(random: Random, ship: str = "", good: str = "") -> str:
    return (
        f"The {ship or random.choice(SHIPS)} has unloaded {random.randint(2, 90)} tons "
        f"of {good or random.choice(GOODS)}."
    )


_EVENTS: list[Callable[[Random], str]] = [
    _unloading,
    lambda random: (
        f"{random.choice(PEOPLE)} was seen at {random.choice(PLACES)} at {random.randint(5, 22)} o'clock."
    ),
    lambda random: f"The {random.choice(SHIPS)} has left for {random.choice(TOWNS)}.",
    lambda random: f"{random.choice(PEOPLE)} has paid {random.randint(3, 400)} crowns for {random.choice(GOODS)}.",
    lambda random: random.choice(WEATHER),
]
