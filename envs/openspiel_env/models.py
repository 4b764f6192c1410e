"""What goes to the OpenSpiel environment and what comes back."""

from typing import Any, Literal

from pydantic import Field

from openenv.models import Action, Observation, State

OpponentPolicy = Literal["random", "first", "last", "mcts", "minimax", "self"]


class OpenSpielAction(Action):
    """A move, by its number."""

    action_id: int = Field(description="One of the observation's `legal_actions`.")
    game_name: str | None = Field(
        default=None, description="Not looked at; older programs send it. The reset chooses the game."
    )
    game_params: dict[str, Any] = Field(default_factory=dict, description="Not looked at, either.")


class OpenSpielObservation(Observation):
    """The game as the agent sees it: what OpenSpiel hides from a player is not in it."""

    info_state: list[float] = Field(
        default_factory=list,
        description="OpenSpiel's information state tensor, flat, or its observation tensor where a game has only "
        "that; empty where it has neither.",
    )
    legal_actions: list[int] = Field(default_factory=list, description="Moves the agent may make; none at the end.")
    game_phase: Literal["initial", "playing", "terminal"] = Field(
        default="playing", description="`initial` after a reset, `terminal` at the end, else `playing`."
    )
    current_player_id: int = Field(default=0, description="Whose turn it is, from 0; -4 at the end.")
    opponent_last_action: int | None = Field(
        default=None, description="The latest move of an opponent; None before there was one."
    )
    text: str = Field(default="", description="The game as text; empty unless the setting `text` is on.")
    action_names: list[str] = Field(
        default_factory=list, description="The legal actions in words, in their order; none unless `text` is on."
    )
    returns: list[float] = Field(
        default_factory=list, description="At the end, what each player has got in the whole game; empty before."
    )


class OpenSpielState(State):
    """Which game is played, and how."""

    game_name: str = ""
    game_params: dict[str, Any] = Field(default_factory=dict)
    agent_player: int = Field(default=0, description="Which player the agent is, from 0.")
    opponent_policy: str = Field(default="random", description="Who plays the others.")
    num_players: int = 1
