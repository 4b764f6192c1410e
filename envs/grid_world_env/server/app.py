"""The application that serves the grid world. `GRID_WORLD_SIZE` is the number of its rows and columns, else 5."""

import os

from openenv.server import create_app

from ..models import GridWorldAction, GridWorldObservation
from .grid_world_environment import SIZE, GridWorldEnvironment


def make() -> GridWorldEnvironment:
    """Return an environment as the variable says."""
    return GridWorldEnvironment(int(os.environ.get("GRID_WORLD_SIZE", str(SIZE))))


app = create_app(make, GridWorldAction, GridWorldObservation, env_name="grid_world_env")
