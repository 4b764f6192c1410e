"""The names that `benchmarks/trivial` is written on, as release 0.10.0 has them; run by the peer's Python only."""

from __future__ import annotations

from typing import Any

from openenv.core.client_types import StepResult
from openenv.core.env_client import EnvClient
from openenv.core.env_server import Action, Environment, Observation, State

__all__ = ["Action", "EnvClient", "Environment", "Observation", "State", "StepResult", "application"]


def application(environment: Any, action: Any, observation: Any, *, sessions: int) -> Any:
    """Return the ASGI application of an environment."""
    from openenv.core.env_server import create_app

    return create_app(environment, action, observation, env_name="trivial", max_concurrent_envs=sessions)
