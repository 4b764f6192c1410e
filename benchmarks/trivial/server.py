"""Serve an environment that does nothing: `server.py VARIANT (asgi|own) SESSIONS PORT`.

Variants are those of `environment`, and `frames`. `asgi` is uvicorn with its own defaults, the same call for both
implementations; `own` is what the implementation runs by itself, which release 0.10.0 does not have.
"""

from __future__ import annotations

import sys

import library
import orders
import uvicorn

variant, route, sessions, port = sys.argv[1:]
orders.end_with_the_parent()
if variant == "frames":
    from frames import FrameEnvironment as Environment
    from frames import FrameObservation as Observation
    from frames import Look as Action
else:
    from environment import ENVIRONMENTS
    from environment import TrivialAction as Action
    from environment import TrivialObservation as Observation

    Environment = ENVIRONMENTS[variant]
app = library.application(Environment, Action, Observation, sessions=max(64, int(sessions)))
if route == "own":
    library.serve(app, port=int(port))
else:
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
