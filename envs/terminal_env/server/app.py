"""The application that serves the terminal environment. `TERMINAL_ENV_TASKS` names a folder of tasks."""

import os

from openenv.server import create_app

from ..models import TerminalAction, TerminalObservation, TerminalState
from .tasks import SHIPPED
from .terminal_environment import TerminalEnvironment


def make() -> TerminalEnvironment:
    """Make an environment with the tasks that are named."""
    return TerminalEnvironment(os.environ.get("TERMINAL_ENV_TASKS", SHIPPED))


app = create_app(
    make,
    TerminalAction,
    TerminalObservation,
    env_name="terminal_env",
    state_cls=TerminalState,
)
