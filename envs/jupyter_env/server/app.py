"""The application that serves the notebook environment.

`OPENENV_JUPYTER_TASKS` may name a folder with tasks of one's own.
"""

import os
from functools import partial

from openenv.server import create_app

from .jupyter_environment import JupyterEnvironment

tasks = os.environ.get("OPENENV_JUPYTER_TASKS")
app = create_app(partial(JupyterEnvironment, tasks) if tasks else JupyterEnvironment, env_name="jupyter_env")
