"""The client of the OpenSpiel environment."""

from openenv.client import EnvClient

from .models import OpenSpielAction, OpenSpielObservation, OpenSpielState


class OpenSpielEnv(EnvClient[OpenSpielAction, OpenSpielObservation, OpenSpielState]):
    """A client of the OpenSpiel environment.

    ```python
    with OpenSpielEnv(base_url="http://localhost:8000").sync() as env:
        result = env.reset(game_name="tic_tac_toe", opponent_policy="mcts")
        while not result.done:
            result = env.step(OpenSpielAction(action_id=result.observation.legal_actions[0]))
        print(result.reward)
    ```
    """
