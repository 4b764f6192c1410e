"""Blackjack by the rules of Sutton and Barto's book, example 5.1.

Every card is drawn from a full deck, so what was dealt tells nothing of what comes, and the value of every position
can be computed exactly.
"""

from random import Random
from typing import get_args
from uuid import uuid4

from openenv.environment import Environment
from openenv.errors import ConfigurationError, NotResetError
from openenv.models import State

from ..models import BlackjackAction, BlackjackObservation, Card

CARDS: tuple[Card, ...] = get_args(Card)
DEALER_STANDS = 17
MOST_NATURAL = 100.0


def total_of(cards: list[Card]) -> tuple[int, bool]:
    """Return what cards count, and whether an ace among them counts 11."""
    least = sum(1 if card == "A" else 10 if card in "JQK" else int(card) for card in cards)
    usable = "A" in cards and least <= 11
    return least + 10 * usable, usable


class BlackjackEnvironment(Environment[BlackjackAction, BlackjackObservation, State]):
    """Hit or stand against a dealer who stands on 17. Reward 1.0 for a win, 0.0 for a draw, -1.0 for a loss.

    Args:
        natural: What a win with 21 in the first two cards pays, 1.0 to 100; casinos pay 1.5.

    Raises:
        ConfigurationError: It is out of its range.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True
    NON_BLOCKING = True

    def __init__(self, natural: float = 1.0) -> None:
        super().__init__()
        if not 1.0 <= natural <= MOST_NATURAL:
            raise ConfigurationError(f"A natural pays 1.0 to {MOST_NATURAL:g}, not {natural}")
        self._natural = natural
        self._state = State()
        self._rng: Random | None = None
        self._player: list[Card] = []
        self._dealer: list[Card] = []

    def reset(self, seed: int | None = None, episode_id: str | None = None) -> BlackjackObservation:
        """Deal two cards to the player and two to the dealer, one of which lies open.

        Args:
            seed: Fixes every card of the episode.
            episode_id: The id that the episode shall have.
        """
        self._rng = rng = Random(seed)
        self._player, self._dealer = rng.choices(CARDS, k=2), rng.choices(CARDS, k=2)
        self._state = State(episode_id=episode_id or uuid4().hex, step_count=0)
        return self._observation(None)

    def step(self, action: BlackjackAction) -> BlackjackObservation:
        """Draw a card; or let the dealer draw, and compare."""
        if self._rng is None:
            raise NotResetError("There are no cards yet: call reset() before step()")
        self._state.step_count += 1
        if action.move == "hit":
            self._player.append(self._rng.choice(CARDS))
            return self._observation(-1.0 if total_of(self._player)[0] > 21 else 0.0)
        while total_of(self._dealer)[0] < DEALER_STANDS:
            self._dealer.append(self._rng.choice(CARDS))
        return self._observation(self._result(), over=True)

    @property
    def state(self) -> State:
        """The episode's id and its steps."""
        return self._state

    def _result(self) -> float:
        """Return the reward of a player who stands. A natural beats every other 21."""
        player, dealer = ((total_of(cards)[0], len(cards)) for cards in (self._player, self._dealer))
        if player == (21, 2):
            return 0.0 if dealer == (21, 2) else self._natural
        if dealer == (21, 2) or player[0] < dealer[0] <= 21:
            return -1.0
        return 0.0 if player[0] == dealer[0] else 1.0

    def _observation(self, reward: float | None, *, over: bool = False) -> BlackjackObservation:
        over = over or reward == -1.0
        total, usable = total_of(self._player)
        shown = self._dealer if over else self._dealer[:1]
        dealer = f"{' '.join(shown)} ({total_of(shown)[0]})" if over else shown[0]
        return BlackjackObservation(
            player_cards=list(self._player),
            player_total=total,
            usable_ace=usable,
            dealer_cards=list(shown),
            legal_actions=[] if over else ["hit", "stand"],
            text=f"You have {' '.join(self._player)} ({total}{', soft' if usable else ''}). "
            + (f"The dealer has {dealer}." if over else f"The dealer shows {dealer}. Hit or stand?"),
            reward=reward,
            done=over,
        )
