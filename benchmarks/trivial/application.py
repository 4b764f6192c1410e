"""The application around the environment that does nothing, made as `server.py` says in environment variables."""

from __future__ import annotations

import os

import library

variant, sessions = os.environ["TRIVIAL_VARIANT"], int(os.environ["TRIVIAL_SESSIONS"])
if variant == "frames":
    from frames import FrameEnvironment as Environment
    from frames import FrameObservation as Observation
    from frames import Look as Action
elif variant.startswith("catch"):
    from catch import Action, Environment, Observation
else:
    from environment import ENVIRONMENTS
    from environment import TrivialAction as Action
    from environment import TrivialObservation as Observation

    Environment = ENVIRONMENTS[variant]
app = library.application(Environment, Action, Observation, sessions=max(64, sessions))
