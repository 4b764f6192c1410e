"""The application by which clients play TextArena's games with one another: a seat for each player.

`openenv serve textarena_env.server.seats:app` plays tic-tac-toe, or what they choose by `reset(env_id=...)`.
"""

from openenv.environment.multi_agent import seats
from openenv.server import create_app

from .textarena_game import TextArenaGame

app = create_app(seats(TextArenaGame), env_name="textarena_env")
