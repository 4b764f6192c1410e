"""Serve an environment that does nothing: `server.py VARIANT (asgi|own) SESSIONS PROCESSES (PORT|PATH)`.

Variants are those of `environment`, and `frames`. `asgi` is uvicorn with its own defaults, the same call for both
implementations; `own` is what the implementation runs by itself, which release 0.10.0 does not have. Several
processes each import `application`, which learns from the environment variables what it is to be.
"""

from __future__ import annotations

import os
import sys

import library
import orders
import uvicorn

variant, route, sessions, processes, place = sys.argv[1:]
orders.end_with_the_parent()
os.environ.update(TRIVIAL_VARIANT=variant, TRIVIAL_SESSIONS=sessions)
where = {"port": int(place)} if place.isdecimal() else {"uds": place}
if route == "own":
    library.serve("application:app", workers=int(processes), **where)
else:
    uvicorn.run("application:app", host="127.0.0.1", log_level="warning", **where)
