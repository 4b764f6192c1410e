"""What an author subclasses, and how the project looks at it.

`base` has `Environment` and its companions, `transforms` ready-made transforms; `adapter` decides once what the
shape of a class means.
"""

from openenv.environment.base import Environment, Message, ModelTokenizer, TaskProvider, Transform
from openenv.environment.transforms import CompositeTransform, NullTransform

__all__ = [
    "CompositeTransform",
    "Environment",
    "Message",
    "ModelTokenizer",
    "NullTransform",
    "TaskProvider",
    "Transform",
]
