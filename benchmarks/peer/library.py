"""The names that `benchmarks/trivial` is written on, as release 0.10.0 has them; run by the peer's Python only."""

from __future__ import annotations

from typing import Any

from openenv.core.client_types import StepResult
from openenv.core.env_client import EnvClient
from openenv.core.env_server import Action, Environment, Observation, State

__all__ = ["Action", "EnvClient", "Environment", "Observation", "State", "StepResult", "serve"]


def serve(environment: Any, action: Any, observation: Any, *, sessions: int, port: int) -> None:
    """Serve an environment until the process is told to end: uvicorn as it is, as people run that release."""
    import uvicorn
    from openenv.core.env_server import create_app

    app = create_app(environment, action, observation, env_name="trivial", max_concurrent_envs=sessions)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
