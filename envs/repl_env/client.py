"""The client of the environment of long contexts."""

from openenv.client import EnvClient
from openenv.models import State

from .models import ReplAction, ReplObservation


class ReplEnv(EnvClient[ReplAction, ReplObservation, State]):
    """A client of the environment of long contexts.

    ```python
    with ReplEnv(base_url="http://localhost:8000").sync() as env:
        print(env.reset(task="needle", size=1_000_000).observation.question)
        print(env.step(ReplAction(code="print(context[:200])")).observation.stdout)
    ```
    """
