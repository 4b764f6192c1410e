"""Two policies on a blocking client: one that knows the answers, and one that knows nothing."""

from typing import Any

from .models import SqlAction
from .server.tasks import load

MAX_RETURN: float = 1.0
MIN_RETURN: float = 0.0


def oracle(env: Any, **reset: Any) -> float:
    """Play one episode with the reference of its task.

    Args:
        env: A blocking client.
        **reset: For the reset, such as `task_id`.
    """
    task = load()[env.reset(**reset).observation.task_id]
    *before, last = task.reference
    for statement in before:
        env.step(SqlAction(query=statement))
    return float(env.step(SqlAction(query=last, submit=True)).reward)


def null(env: Any, **reset: Any) -> float:
    """Play one episode by submitting a statement that has nothing to do with the task."""
    env.reset(**reset)
    return float(env.step(SqlAction(query="SELECT 'nothing'", submit=True)).reward)
