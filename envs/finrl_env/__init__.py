"""The trading environment: stocks bought and sold day by day, in FinRL's layout."""

from .client import FinRLEnv
from .models import FinRLAction, FinRLObservation, FinRLState

__all__ = ["FinRLAction", "FinRLEnv", "FinRLObservation", "FinRLState"]
