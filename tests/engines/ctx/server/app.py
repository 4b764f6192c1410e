"""The application that serves the echo environment."""

from openenv.server import create_app

from .echo_environment import EchoEnvironment

app = create_app(EchoEnvironment, env_name="echo_env")
