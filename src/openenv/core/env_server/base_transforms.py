"""Old path of ready-made transforms; they live in `openenv.environment`."""

from openenv.environment import CompositeTransform, NullTransform

__all__ = ["CompositeTransform", "NullTransform"]
