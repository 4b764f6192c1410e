"""Transforms made of transforms."""

from openenv.environment import CompositeTransform, NullTransform, Transform
from openenv.models import Observation


class Add(Transform[Observation]):
    def __init__(self, reward: float) -> None:
        self.reward = reward

    def __call__(self, observation: Observation) -> Observation:
        return observation.model_copy(update={"reward": (observation.reward or 0) * 10 + self.reward})


def test_transforms_are_applied_in_order():
    assert CompositeTransform([Add(1), Add(2), Add(3)])(Observation()).reward == 123


def test_no_transforms_and_the_null_transform_leave_an_observation_alone():
    observation = Observation(reward=1.0)
    assert CompositeTransform([])(observation) is observation
    assert NullTransform()(observation) is observation


def test_a_list_that_is_changed_later_changes_nothing():
    transforms = [Add(1)]
    composite = CompositeTransform(transforms)
    transforms.append(Add(2))
    assert composite(Observation()).reward == 1
