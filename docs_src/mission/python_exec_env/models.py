# models.py
from pydantic import BaseModel
from openenv.models import Action, Observation

class RunCodeAction(Action):
    """Execute a Python code snippet in the sandbox."""
    code: str
    timeout_seconds: float = 10.0

class ResetAction(Action):
    """Reset the execution sandbox to a clean state."""
    pass

class PyExecObservation(Observation):
    stdout: str
    stderr: str
    exit_code: int
    execution_time_ms: float
    files_changed: list[str] = []
