"""Transforms made of transforms, and the one that does nothing."""

from __future__ import annotations

from collections.abc import Sequence

from openenv.environment.base import ObservationT, Transform

__all__ = ["CompositeTransform", "NullTransform"]


class CompositeTransform(Transform[ObservationT]):
    """Applies transforms one after the other.

    Args:
        transforms: The first gets the environment's observation, each other what the one before returned.
    """

    def __init__(self, transforms: Sequence[Transform[ObservationT]]) -> None:
        self.transforms = list(transforms)

    def __call__(self, observation: ObservationT) -> ObservationT:
        """Return what the last transform returned; the observation itself if there is none."""
        for transform in self.transforms:
            observation = transform(observation)
        return observation


class NullTransform(Transform[ObservationT]):
    """Leaves observations as they are."""

    def __call__(self, observation: ObservationT) -> ObservationT:
        """Return the observation."""
        return observation
