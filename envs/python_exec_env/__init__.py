"""The Python execution environment: it runs the code an agent writes, in a process and a folder of its own."""

from .client import PyExecEnv
from .models import PyExecObservation, ResetAction, RunCodeAction

__all__ = ["PyExecEnv", "PyExecObservation", "ResetAction", "RunCodeAction"]
