"""The application that serves the chess environment.

| variable | |
|---|---|
| `CHESS_OPPONENT` | `random` (the default), `greedy`, `minimax`, `stockfish` or `self` |
| `CHESS_DEPTH` | half-moves that `minimax` looks ahead; 2 by default |
| `CHESS_NODES` | positions that Stockfish looks at for a move; 10,000 by default |
| `CHESS_SKILL`, `CHESS_ELO` | Stockfish's strength, one of them |
| `CHESS_ENGINE` | where Stockfish is, or another engine that speaks UCI |
| `CHESS_COLOR` | what the agent plays: `white` (the default), `black` or `random` |
| `CHESS_ILLEGAL` | what comes of an illegal move: `refuse` (the default) or `forfeit` |
| `CHESS_MAX_MOVES` | moves of the agent after which a game is cut off; 200 by default |
"""

import os
from typing import Any

from openenv.errors import ConfigurationError
from openenv.server import create_app

from ..models import ChessAction, ChessObservation, ChessState
from .chess_environment import ChessEnvironment

TEXTS = ("OPPONENT", "ENGINE", "COLOR", "ILLEGAL")
NUMBERS = ("DEPTH", "NODES", "SKILL", "ELO", "MAX_MOVES")


def make() -> ChessEnvironment:
    """Return an environment as the variables say.

    Raises:
        ConfigurationError: A variable is wrong.
    """
    given: dict[str, Any] = {}
    for name in (*TEXTS, *NUMBERS):
        text = os.environ.get(f"CHESS_{name}")
        if text:
            try:
                given[name.lower()] = int(text) if name in NUMBERS else text
            except ValueError:
                raise ConfigurationError(f"CHESS_{name} is {text!r}, which is no number") from None
    return ChessEnvironment(**given)


app = create_app(make, ChessAction, ChessObservation, env_name="chess_env", state_cls=ChessState)
