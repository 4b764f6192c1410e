"""The client of the git environment."""

from openenv.client import EnvClient

from .models import AnyAction, GitObservation, GitState


class GitEnv(EnvClient[AnyAction, GitObservation, GitState]):
    """A client of the git environment.

    ```python
    with GitEnv(base_url="http://localhost:8000").sync() as env:
        print(env.reset(task_id="merge-conflict").observation.instruction)
        print(env.step(GitAction(command="git log --oneline --graph --all")).observation.stdout)
    ```
    """
