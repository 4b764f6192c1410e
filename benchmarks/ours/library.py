"""The names that `benchmarks/trivial` is written on, as this project has them."""

from __future__ import annotations

from typing import Any

from openenv.client import EnvClient
from openenv.environment import Environment
from openenv.models import Action, Observation, State, StepResult

__all__ = ["Action", "EnvClient", "Environment", "Observation", "State", "StepResult", "application", "serve"]


def application(environment: Any, action: Any, observation: Any, *, sessions: int) -> Any:
    """Return the ASGI application of an environment."""
    from openenv.server import create_app

    return create_app(environment, action, observation, max_concurrent_envs=sessions)


def serve(app: str, **how: Any) -> None:
    """Serve an application in the implementation's own way, until the process is told to end."""
    from openenv.server import serve as run

    run(app, log_level="warning", **how)
