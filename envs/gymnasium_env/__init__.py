"""The Gymnasium environment: any environment of Gymnasium, behind this project's wire."""

from .client import GymnasiumEnv
from .models import GymnasiumAction, GymnasiumObservation, GymnasiumState

__all__ = ["GymnasiumAction", "GymnasiumEnv", "GymnasiumObservation", "GymnasiumState"]
