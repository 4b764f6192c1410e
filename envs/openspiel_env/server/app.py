"""The application that serves the OpenSpiel environment.

| variable | default | |
|---|---|---|
| `OPENSPIEL_GAME` | `catch` | the game's short name |
| `OPENSPIEL_GAME_PARAMS` | `{}` | its parameters, as a JSON object |
| `OPENSPIEL_AGENT_PLAYER` | 0 | which player the agent is |
| `OPENSPIEL_OPPONENT_POLICY` | `random` | who plays the others |
| `OPENSPIEL_SIMULATIONS` | 100 | how much `mcts` thinks |
| `OPENSPIEL_TEXT` | `true` | whether observations have words |
| `OPENSPIEL_ISOLATION` | `auto` | `process`: each session in a process of its own |

A game that a reset chooses is tried first in a process of its own, unless each session has a process anyway, where
it can harm no other.
"""

import json
import os

from openenv.errors import ConfigurationError
from openenv.server import create_app

from ..models import OpenSpielAction, OpenSpielObservation, OpenSpielState
from .openspiel_environment import SIMULATIONS, OpenSpielEnvironment

isolation = os.environ.get("OPENSPIEL_ISOLATION", "auto")


def make() -> OpenSpielEnvironment:
    """Return an environment as the variables say.

    Raises:
        ConfigurationError: A variable has a value that makes no sense.
    """
    get = os.environ.get
    try:
        return OpenSpielEnvironment(
            get("OPENSPIEL_GAME", "catch"),
            json.loads(get("OPENSPIEL_GAME_PARAMS") or "{}"),
            int(get("OPENSPIEL_AGENT_PLAYER", "0")),
            get("OPENSPIEL_OPPONENT_POLICY", "random"),
            int(get("OPENSPIEL_SIMULATIONS", str(SIMULATIONS))),
            {"true": True, "1": True, "false": False, "0": False}[get("OPENSPIEL_TEXT", "true").lower()],
            tries=isolation != "process",
        )
    except (KeyError, ValueError) as error:
        raise ConfigurationError(f"A variable of the OPENSPIEL_ family makes no sense: {error}") from None


app = create_app(
    make,
    OpenSpielAction,
    OpenSpielObservation,
    env_name="openspiel_env",
    state_cls=OpenSpielState,
    isolation=isolation,
)
