"""The Atari environment: the games of the Arcade Learning Environment."""

from .client import AtariEnv
from .models import AtariAction, AtariObservation, AtariState

__all__ = ["AtariAction", "AtariEnv", "AtariObservation", "AtariState"]
