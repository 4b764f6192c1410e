"""The git environment: real repositories, and tasks whose checks the agent never sees."""

from .client import GitEnv
from .models import CheckOutcome, GitAction, GitObservation, GitState, ReadFile, Submit, WriteFile

__all__ = [
    "CheckOutcome",
    "GitAction",
    "GitEnv",
    "GitObservation",
    "GitState",
    "ReadFile",
    "Submit",
    "WriteFile",
]
