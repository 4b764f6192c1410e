"""The client of the grid world. The type arguments are all it needs."""

from openenv.client import EnvClient
from openenv.models import State

from .models import GridWorldAction, GridWorldObservation


class GridWorldEnv(EnvClient[GridWorldAction, GridWorldObservation, State]):
    """A client of the grid world.

    ```python
    with GridWorldEnv(base_url="http://localhost:8000").sync() as env:
        print(env.reset(seed=1).observation.text)
        print(env.step(GridWorldAction(move="right")).observation.text)
    ```
    """
