"""The client of the browser environment."""

from openenv.client import EnvClient

from .models import BrowserGymAction, BrowserGymObservation, BrowserGymState


class BrowserGymEnv(EnvClient[BrowserGymAction, BrowserGymObservation, BrowserGymState]):
    """A client of the browser environment.

    ```python
    with BrowserGymEnv(base_url="http://localhost:8000").sync() as env:
        print(env.reset(task_name="click-test", seed=1).observation.axtree_txt)
        print(env.step(BrowserGymAction(action_str="click('13')")).reward)
    ```
    """
