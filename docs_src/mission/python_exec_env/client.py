# client.py
from openenv.core.env_client import EnvClient
from .models import RunCodeAction, ResetAction, PyExecObservation

class PyExecEnv(EnvClient):
    observation_type = PyExecObservation
    action_types = [RunCodeAction, ResetAction]
    # All the WebSocket connection logic is inherited from EnvClient
    # You only need to override if you need custom connection handling
