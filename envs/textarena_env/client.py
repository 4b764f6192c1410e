"""The client of the TextArena environment."""

from openenv.client import EnvClient

from .models import TextArenaAction, TextArenaObservation, TextArenaState


class TextArenaEnv(EnvClient[TextArenaAction, TextArenaObservation, TextArenaState]):
    """A client of the TextArena environment.

    ```python
    with TextArenaEnv(base_url="http://localhost:8000").sync() as env:
        result = env.reset(env_id="Wordle-v0", seed=1)
        while not result.done:
            result = env.step(TextArenaAction(message=model(result.observation.prompt)))
        print(result.reward)
    ```
    """
