"""What goes to the 2048 environment and what comes back."""

from typing import Literal

from pydantic import BaseModel, Field

from openenv.models import Action, Observation

Move = Literal["up", "right", "down", "left"]


class Game2048Action(Action):
    """One move."""

    move: Move = Field(description="Where all tiles slide: one of the observation's `legal_actions`.")


class RunStrategy(Action):
    """Many moves, chosen by a piece of Python."""

    code: str = Field(
        description="Python that defines `strategy(board)`. It is called before each move with the board as a list "
        "of rows, 0 for an empty field, and returns `W`, `A`, `S` or `D`, or `up`, `left`, `down` or `right`."
    )
    max_moves: int = Field(default=2000, ge=1, le=100_000, description="Moves after which it is not asked again.")
    timeout_seconds: float = Field(
        default=5.0, gt=0, le=600, description="Seconds it has for all of them together."
    )


class StrategyReport(BaseModel):
    """What came of a strategy. The board decides, so moves made before it failed count."""

    ended: Literal["game", "max_moves", "timeout", "illegal_move", "error"] = Field(
        description="Why it was not asked again: the game is over, it has made all moves it may, its time was up, "
        "it chose something that is no move or moves nothing, or it failed."
    )
    moves: int = Field(description="Moves it made.")
    points: int = Field(description="Points it scored.")
    error: str = Field(default="", description="What was wrong with it.")
    stdout: str = Field(default="", description="What it printed: the first and last 4 KiB.")


class Game2048Observation(Observation):
    """The board."""

    board: list[list[int]] = Field(description="Rows from above; 0 for an empty field.")
    score: int = Field(description="Points in the episode so far.")
    highest: int = Field(description="The highest tile.")
    moves: int = Field(description="Moves in the episode so far.")
    won: bool = Field(default=False, description="Whether the target, 2048 by default, was reached.")
    legal_actions: list[Move] = Field(description="Moves that slide or merge anything; none at the end.")
    text: str = Field(description="The board as text.")
    strategy: StrategyReport | None = Field(default=None, description="What came of a strategy, after one.")
