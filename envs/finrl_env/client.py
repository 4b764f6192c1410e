"""The client of the trading environment."""

from openenv.client import EnvClient

from .models import FinRLAction, FinRLObservation, FinRLState


class FinRLEnv(EnvClient[FinRLAction, FinRLObservation, FinRLState]):
    """A client of the trading environment.

    ```python
    with FinRLEnv(base_url="http://localhost:8000").sync() as env:
        start = env.reset().observation
        print(env.step(FinRLAction(actions=[0.5] * len(start.tickers))).observation.portfolio_value)
    ```
    """
