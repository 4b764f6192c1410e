"""The application that serves blackjack. `BLACKJACK_NATURAL` is what a win with a natural pays, else 1.0."""

import os

from openenv.server import create_app

from ..models import BlackjackAction, BlackjackObservation
from .blackjack_environment import BlackjackEnvironment


def make() -> BlackjackEnvironment:
    """Return an environment as the variable says."""
    return BlackjackEnvironment(natural=float(os.environ.get("BLACKJACK_NATURAL", "1.0")))


app = create_app(make, BlackjackAction, BlackjackObservation, env_name="blackjack_env")
