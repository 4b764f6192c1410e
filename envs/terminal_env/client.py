"""The client of the terminal environment."""

from openenv.client import EnvClient

from .models import TerminalAction, TerminalObservation, TerminalState


class TerminalEnv(EnvClient[TerminalAction, TerminalObservation, TerminalState]):
    """A client of the terminal environment.

    ```python
    with TerminalEnv(base_url="http://localhost:8000").sync() as env:
        print(env.reset(task_id="nested-parcel").observation.instruction)
        print(env.step(RunCommand(command="ls -la")).observation.output)
    ```
    """
