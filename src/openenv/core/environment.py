"""Old path of what an author subclasses; it lives in `openenv.environment`."""

from openenv.environment import Environment, Message, ModelTokenizer, TaskProvider, Transform

__all__ = ["Environment", "Message", "ModelTokenizer", "TaskProvider", "Transform"]
