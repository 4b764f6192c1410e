"""What an author subclasses, and how the project looks at it.

`base` has `Environment` and its companions; `adapter` decides once what the shape of a class means.
"""

from openenv.environment.base import Environment, Message, ModelTokenizer, TaskProvider, Transform

__all__ = ["Environment", "Message", "ModelTokenizer", "TaskProvider", "Transform"]
