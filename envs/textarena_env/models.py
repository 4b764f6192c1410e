"""What goes to the TextArena environment and what comes back."""

from pydantic import BaseModel, Field

from openenv.models import Action, Observation, State

LONGEST_MESSAGE = 20_000


class TextArenaAction(Action):
    """What the agent says."""

    message: str = Field(
        max_length=LONGEST_MESSAGE,
        description="What the agent says, with its move in square brackets, such as `I take [4]`.",
    )


class TextArenaMessage(BaseModel):
    """One message that the agent can read."""

    sender_id: int = Field(description="Which player sent it, from 0; -1 for the game.")
    sender: str = Field(description="What the game calls the sender, such as `GAME` or `Player 1`.")
    content: str = Field(description="What it says.")
    category: str = Field(
        description="PROMPT, PLAYER_ACTION, GAME_ACTION_DESCRIPTION, GAME_MESSAGE, GAME_BOARD or GAME_ADMIN."
    )


class TextArenaObservation(Observation):
    """What the agent's player can read."""

    prompt: str = Field(default="", description="All messages from the beginning on, as text for a model.")
    messages: list[TextArenaMessage] = Field(
        default_factory=list, description="Those that are new since the last observation."
    )
    legal_actions: list[str] = Field(
        default_factory=list, description="The moves there are, where the game tells them; else none."
    )
    current_player_id: int = Field(default=0, description="Whose turn it is, from 0; -1 at the end.")
    invalid: bool = Field(
        default=False, description="The game took the agent's last message for no move; `messages` says why."
    )
    reason: str = Field(default="", description="At the end, why the game is over.")


class TextArenaState(State):
    """Which game is played, and how."""

    env_id: str = Field(default="", description="The game, such as `Wordle-v0`.")
    num_players: int = 1
    agent_player: int = Field(default=0, description="Which player the agent is, from 0.")
    opponent_policy: str = Field(default="random", description="Who plays the others.")
    max_steps: int | None = Field(
        default=None, description="Moves of the agent after which the episode is cut off."
    )
