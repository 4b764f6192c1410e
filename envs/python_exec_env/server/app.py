"""The application that serves the Python execution environment."""

from openenv.server import create_app

from .python_exec_environment import PythonExecEnvironment

app = create_app(PythonExecEnvironment, env_name="python_exec_env")
