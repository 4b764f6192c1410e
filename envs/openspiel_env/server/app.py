"""The application that serves the OpenSpiel environment.

| variable | default | |
|---|---|---|
| `OPENSPIEL_GAME` | `catch` | the game's short name |
| `OPENSPIEL_GAME_PARAMS` | `{}` | its parameters, as a JSON object |
| `OPENSPIEL_AGENT_PLAYER` | 0 | which player the agent is |
| `OPENSPIEL_OPPONENT_POLICY` | `random` | who plays the others |
| `OPENSPIEL_SIMULATIONS` | 100 | how much `mcts` thinks |
| `OPENSPIEL_TEXT` | `true` | whether observations have words |

With `mcts` or `minimax` as the policy each session gets a thread, since these take their time.
"""

import json
import os

from openenv.errors import ConfigurationError
from openenv.server import create_app

from ..models import OpenSpielAction, OpenSpielObservation, OpenSpielState
from .openspiel_environment import SIMULATIONS, OpenSpielEnvironment, ThinkingOpenSpielEnvironment

THINKING = ("mcts", "minimax")


def make() -> OpenSpielEnvironment:
    """Return an environment as the variables say.

    Raises:
        ConfigurationError: A variable has a value that makes no sense.
    """
    get = os.environ.get
    policy = get("OPENSPIEL_OPPONENT_POLICY", "random")
    kind = ThinkingOpenSpielEnvironment if policy in THINKING else OpenSpielEnvironment
    try:
        return kind(
            get("OPENSPIEL_GAME", "catch"),
            json.loads(get("OPENSPIEL_GAME_PARAMS") or "{}"),
            int(get("OPENSPIEL_AGENT_PLAYER", "0")),
            policy,
            int(get("OPENSPIEL_SIMULATIONS", str(SIMULATIONS))),
            {"true": True, "1": True, "false": False, "0": False}[get("OPENSPIEL_TEXT", "true").lower()],
        )
    except (KeyError, ValueError) as error:
        raise ConfigurationError(f"A variable of the OPENSPIEL_ family makes no sense: {error}") from None


app = create_app(make, OpenSpielAction, OpenSpielObservation, env_name="openspiel_env", state_cls=OpenSpielState)
