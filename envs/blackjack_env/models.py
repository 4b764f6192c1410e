"""What goes to the blackjack environment and what comes back."""

from typing import Literal

from pydantic import Field

from openenv.models import Action, Observation

Card = Literal["A", "2", "3", "4", "5", "6", "7", "8", "9", "10", "J", "Q", "K"]
Move = Literal["hit", "stand"]


class BlackjackAction(Action):
    """Take another card, or let the dealer play."""

    move: Move = Field(description="`hit` takes a card, `stand` ends the player's turn.")


class BlackjackObservation(Observation):
    """The table as the player sees it."""

    player_cards: list[Card] = Field(description="The player's cards.")
    player_total: int = Field(description="What they count; an ace is 11 where that does not exceed 21, else 1.")
    usable_ace: bool = Field(description="Whether an ace counts 11, so that one more card cannot exceed 21.")
    dealer_cards: list[Card] = Field(description="The dealer's card that lies open; at the end all of them.")
    legal_actions: list[Move] = Field(description="Moves the player may make; none at the end.")
    text: str = Field(description="The table in words, as a prompt for a model.")
