"""The application that serves 2048. `GAME2048_TARGET` is the tile that wins, else 2048."""

import os

from openenv.models import State
from openenv.server import create_app

from ..models import Game2048Action, Game2048Observation, RunStrategy
from .game2048_environment import TARGET, Game2048Environment


def make() -> Game2048Environment:
    """Return an environment as the variable says."""
    return Game2048Environment(int(os.environ.get("GAME2048_TARGET", str(TARGET))))


app = create_app(make, Game2048Action | RunStrategy, Game2048Observation, env_name="game2048_env", state_cls=State)
