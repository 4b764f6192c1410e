"""What goes to the chess environment and what comes back."""

from pydantic import Field

from openenv.models import Action, Observation, State


class ChessAction(Action):
    """One move."""

    # The bounds are for who makes up moves; what is beyond them is an illegal move like any other.
    move: str = Field(
        json_schema_extra={"minLength": 1, "maxLength": 16},
        description="In UCI notation, such as `e2e4` or `e7e8q`, or in SAN, such as `Nf3`.",
    )


class ChessObservation(Observation):
    """The position, after the opponent's answer."""

    fen: str = Field(description="The position in Forsyth-Edwards notation.")
    board: str = Field(default="", description="The position as text, as White sees it: white pieces are capitals.")
    color: str = Field(default="white", description="What the agent plays: `white`, `black`, or `both`.")
    turn: str = Field(default="white", description="Whose turn it is: `white` or `black`.")
    legal_moves: list[str] = Field(default_factory=list, description="In UCI notation; none when the game is over.")
    in_check: bool = Field(default=False, description="The side whose turn it is is in check.")
    opponent_move: str = Field(default="", description="What the opponent answered, in UCI notation.")
    opponent_move_san: str = Field(default="", description="The same in SAN.")
    result: str = Field(default="*", description="`1-0`, `0-1`, `1/2-1/2`, or `*` while it is not over.")
    termination: str = Field(
        default="",
        description="Why the game is over: `checkmate`, `stalemate`, `insufficient_material`, `fifty_moves`, "
        "`threefold_repetition`, `fivefold_repetition`, `seventyfive_moves`, `illegal_move`.",
    )
    pgn: str = Field(default="", description="The game in PGN, when it is over or cut off.")


class ChessState(State):
    """Where a game stands."""

    fen: str = ""
    color: str = "white"
    opponent: str = Field(default="", description="Who the opponent is.")
    pgn: str = Field(default="", description="The game so far, in PGN.")
