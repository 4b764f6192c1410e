"""The grid world: a walk over a grid to a goal, to be read in five minutes and to write the next environment by."""

from .client import GridWorldEnv
from .models import GridWorldAction, GridWorldObservation

__all__ = ["GridWorldAction", "GridWorldEnv", "GridWorldObservation"]
