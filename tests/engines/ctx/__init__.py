"""The echo environment: it says back what it is told. For learning the framework and testing an installation."""

from openenv.mcp import CallToolAction, CallToolObservation, ListToolsAction, ListToolsObservation

from .client import EchoEnv
from .models import EchoAction, EchoObservation

__all__ = [
    "CallToolAction",
    "CallToolObservation",
    "EchoAction",
    "EchoEnv",
    "EchoObservation",
    "ListToolsAction",
    "ListToolsObservation",
]
