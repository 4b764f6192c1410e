"""The client of the coding environment."""

from openenv.client import EnvClient

from .models import CodeAction, CodeObservation, CodeState


class CodingEnv(EnvClient[CodeAction, CodeObservation, CodeState]):
    """A client of the coding environment.

    ```python
    with CodingEnv(base_url="http://localhost:8000").sync() as env:
        env.reset()
        env.step(CodeAction(code="x = 6"))
        print(env.step(CodeAction(code="print(x * 7)")).observation.stdout)
    ```
    """
