"""The client of the blackjack environment."""

from openenv.client import EnvClient
from openenv.models import State

from .models import BlackjackAction, BlackjackObservation


class BlackjackEnv(EnvClient[BlackjackAction, BlackjackObservation, State]):
    """A client of the blackjack environment.

    ```python
    with BlackjackEnv(base_url="http://localhost:8000").sync() as env:
        print(env.reset(seed=1).observation.text)
        print(env.step(BlackjackAction(move="stand")).reward)
    ```
    """
