"""The client of the SQL environment."""

from openenv.client import EnvClient

from .models import SqlAction, SqlObservation, SqlState


class SqlEnv(EnvClient[SqlAction, SqlObservation, SqlState]):
    """A client of the SQL environment.

    ```python
    with SqlEnv(base_url="http://localhost:8000").sync() as env:
        print(env.reset(task_id="shop-cities").observation.instruction)
        print(env.step(SqlAction(query="SELECT DISTINCT city FROM customers", submit=True)).reward)
    ```
    """
