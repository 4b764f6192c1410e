"""The client of the Atari environment."""

from openenv.client import EnvClient

from .models import AtariAction, AtariObservation, AtariState


class AtariEnv(EnvClient[AtariAction, AtariObservation, AtariState]):
    """A client of the Atari environment.

    ```python
    with AtariEnv(base_url="http://localhost:8000").sync() as env:
        print(env.reset(game="breakout", seed=1).observation.action_names)
        print(env.step(AtariAction(action_id=1)).observation.screen.shape)
    ```
    """
