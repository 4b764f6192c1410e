"""The client of the notebook environment."""

from openenv.client import EnvClient
from openenv.models import State

from .models import JupyterAction, JupyterObservation


class JupyterEnv(EnvClient[JupyterAction, JupyterObservation, State]):
    """A client of the notebook environment.

    ```python
    with JupyterEnv(base_url="http://localhost:8000").sync() as env:
        print(env.reset(task_id="regions").observation.instructions)
        print(env.step(JupyterAction(code="6 * 7")).observation.cells[0].outputs[0].text)
    ```
    """
