"""Old path of what a step returns; it lives in `openenv.models`."""

from openenv.models import StepResult

__all__ = ["StepResult"]
