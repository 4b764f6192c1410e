"""The coding environment: Python that an agent writes, run with variables that stay and graded by hidden tests."""

from .client import CodingEnv
from .models import CodeAction, CodeError, CodeObservation, CodeState

__all__ = ["CodeAction", "CodeError", "CodeObservation", "CodeState", "CodingEnv"]
