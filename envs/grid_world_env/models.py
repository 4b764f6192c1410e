"""What goes to the grid world and what comes back."""

from typing import Literal

from pydantic import Field

from openenv.models import Action, Observation

Move = Literal["up", "down", "left", "right"]


class GridWorldAction(Action):
    """A step in one of four directions."""

    move: Move = Field(description="Where to go. Off the grid one stays where one is, and that counts as a step.")


class GridWorldObservation(Observation):
    """Where everything is. Rows and columns are counted from 0 at the upper left."""

    row: int = Field(description="The agent's row.")
    column: int = Field(description="The agent's column.")
    goal_row: int = Field(description="The goal's row.")
    goal_column: int = Field(description="The goal's column.")
    size: int = Field(description="Rows, and columns, of the grid.")
    legal_moves: list[Move] = Field(description="Moves that lead to another field; none at the end.")
    text: str = Field(description="The grid as text: A the agent, G the goal.")
