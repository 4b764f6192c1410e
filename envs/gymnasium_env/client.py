"""The client of the Gymnasium environment."""

from openenv.client import EnvClient

from .models import GymnasiumAction, GymnasiumObservation, GymnasiumState


class GymnasiumEnv(EnvClient[GymnasiumAction, GymnasiumObservation, GymnasiumState]):
    """A client of the Gymnasium environment.

    ```python
    with GymnasiumEnv(base_url="http://localhost:8000").sync() as env:
        print(env.reset(seed=1).observation.action_space)
        print(env.step(GymnasiumAction(action=0)).observation.observation)
    ```
    """
