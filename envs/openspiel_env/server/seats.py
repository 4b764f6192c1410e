"""The application by which clients play OpenSpiel's games with one another: a seat for each player.

`openenv serve openspiel_env.server.seats:app` plays tic-tac-toe, or what they choose by `reset(game_name=...)`.
"""

from openenv.environment.multi_agent import seats
from openenv.server import create_app

from .openspiel_game import OpenSpielGame

app = create_app(seats(OpenSpielGame), env_name="openspiel_env")
