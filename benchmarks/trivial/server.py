"""Serve the trivial environment: `server.py (sync|non-blocking|async) (asgi|own) PORT`.

`asgi` is uvicorn with its own defaults, the same call for both implementations; `own` is what the implementation
runs by itself, which release 0.10.0 does not have.
"""

from __future__ import annotations

import sys

import library
import orders
import uvicorn

from environment import ENVIRONMENTS, TrivialAction, TrivialObservation

variant, route, port = sys.argv[1:]
orders.end_with_the_parent()
app = library.application(ENVIRONMENTS[variant], TrivialAction, TrivialObservation, sessions=64)
if route == "own":
    library.serve(app, port=int(port))
else:
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
