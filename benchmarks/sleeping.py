"""An environment whose every step sleeps, for `health_under_load`. Served with `openenv serve`."""

from __future__ import annotations

import time

from openenv.client import EnvClient
from openenv.environment import Environment
from openenv.models import Action, Observation, State
from openenv.server import create_app


class Sleep(Action):
    """Sleep for so many seconds, blocking."""

    seconds: float


class Slept(Observation):
    """Nothing but that it is over."""


class Sleeper(Environment[Sleep, Slept, State]):
    """Sleeps in `step`, as an environment does that was written without a thought for the server."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self) -> Slept:
        """Begin."""
        return Slept()

    def step(self, action: Sleep) -> Slept:
        """Sleep."""
        time.sleep(action.seconds)
        return Slept(reward=1.0)

    @property
    def state(self) -> State:
        """Nothing to tell."""
        return State()


class SleeperEnv(EnvClient[Sleep, Slept, State]):
    """Its client."""


app = create_app(Sleeper)
