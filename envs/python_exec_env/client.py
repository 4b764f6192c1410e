"""The client of the Python execution environment."""

from openenv.client import EnvClient
from openenv.models import State

from .models import PyExecObservation, ResetAction, RunCodeAction


class PyExecEnv(EnvClient[RunCodeAction | ResetAction, PyExecObservation, State]):
    """A client of the Python execution environment.

    ```python
    with PyExecEnv(base_url="http://localhost:8000").sync() as env:
        env.reset()
        print(env.step(RunCodeAction(code="print(6 * 7)")).observation.stdout)
    ```
    """
