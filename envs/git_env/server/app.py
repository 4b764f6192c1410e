"""The application that serves the git environment. `GIT_ENV_TASKS` names a folder of tasks."""

import os

from openenv.server import create_app

from ..models import AnyAction, GitObservation, GitState
from .git_environment import GitEnvironment
from .tasks import SHIPPED


def make() -> GitEnvironment:
    """Make an environment with the tasks that are named."""
    return GitEnvironment(os.environ.get("GIT_ENV_TASKS", SHIPPED))


app = create_app(make, AnyAction, GitObservation, env_name="git_env", state_cls=GitState)
