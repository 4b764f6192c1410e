"""The names that `benchmarks/trivial` is written on, as this project has them."""

from __future__ import annotations

from typing import Any

from openenv.client import EnvClient
from openenv.environment import Environment
from openenv.models import Action, Observation, State, StepResult

__all__ = ["Action", "EnvClient", "Environment", "Observation", "State", "StepResult", "serve"]


def serve(environment: Any, action: Any, observation: Any, *, sessions: int, port: int) -> None:
    """Serve an environment until the process is told to end."""
    from openenv.server import create_app
    from openenv.server import serve as run

    app = create_app(environment, action, observation, max_concurrent_envs=sessions)
    run(app, port=port, log_level="warning")
