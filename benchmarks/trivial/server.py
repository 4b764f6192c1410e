"""Serve the trivial environment: `server.py (sync|non-blocking|async) PORT`."""

from __future__ import annotations

import sys

import library
import orders

from environment import ENVIRONMENTS, TrivialAction, TrivialObservation

variant, port = sys.argv[1:]
orders.end_with_the_parent()
library.serve(ENVIRONMENTS[variant], TrivialAction, TrivialObservation, sessions=64, port=int(port))
