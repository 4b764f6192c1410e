"""The client of the chess environment."""

from openenv.client import EnvClient

from .models import ChessAction, ChessObservation, ChessState


class ChessEnv(EnvClient[ChessAction, ChessObservation, ChessState]):
    """A client of the chess environment.

    ```python
    with ChessEnv(base_url="http://localhost:8000").sync() as env:
        print(env.reset(seed=1, opponent="greedy").observation.board)
        print(env.step(ChessAction(move="e2e4")).observation.opponent_move)
    ```
    """
