"""The client of the echo environment."""

from openenv.client import EnvClient
from openenv.mcp import CallToolAction, ListToolsAction
from openenv.models import State

from .models import EchoAction, EchoObservation


class EchoEnv(EnvClient[EchoAction | CallToolAction | ListToolsAction, EchoObservation, State]):
    """A client of the echo environment.

    ```python
    with EchoEnv(base_url="http://localhost:8000").sync() as env:
        env.reset()
        print(env.step(EchoAction(message="Hello")).observation.echoed_message)
    ```
    """
