"""The game 2048, move by move or by a strategy given as code."""

from .client import Game2048Env
from .models import Game2048Action, Game2048Observation, RunStrategy, StrategyReport

__all__ = ["Game2048Action", "Game2048Env", "Game2048Observation", "RunStrategy", "StrategyReport"]
