"""The environment of long contexts: a text too long to be read is a variable, and code goes over it."""

from .client import ReplEnv
from .models import ReplAction, ReplObservation

__all__ = ["ReplAction", "ReplEnv", "ReplObservation"]
