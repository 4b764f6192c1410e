"""The client of the 2048 environment."""

from openenv.client import EnvClient
from openenv.models import State

from .models import Game2048Action, Game2048Observation, RunStrategy


class Game2048Env(EnvClient[Game2048Action | RunStrategy, Game2048Observation, State]):
    """A client of the 2048 environment.

    ```python
    with Game2048Env(base_url="http://localhost:8000").sync() as env:
        env.reset(seed=1)
        print(env.step(Game2048Action(move="left")).observation.text)
        code = "def strategy(board): return 'W'"
        print(env.step(RunStrategy(code=code)).observation.strategy)
    ```
    """
