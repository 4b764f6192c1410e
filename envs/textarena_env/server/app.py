"""The application that serves the TextArena environment.

| variable | default | |
|---|---|---|
| `TEXTARENA_ENV_ID` | `Wordle-v0` | the game |
| `TEXTARENA_AGENT_PLAYER` | 0 | which player the agent is |
| `TEXTARENA_OPPONENT_POLICY` | `random` | who plays the others |
| `TEXTARENA_MAX_STEPS` | none | messages of the agent after which an episode is cut off |
"""

import os

from openenv.errors import ConfigurationError
from openenv.server import create_app

from ..models import TextArenaAction, TextArenaObservation, TextArenaState
from .textarena_environment import TextArenaEnvironment


def make() -> TextArenaEnvironment:
    """Return an environment as the variables say.

    Raises:
        ConfigurationError: A variable has a value that makes no sense.
    """
    get = os.environ.get
    try:
        limit = get("TEXTARENA_MAX_STEPS")
        return TextArenaEnvironment(
            get("TEXTARENA_ENV_ID", "Wordle-v0"),
            agent_player=int(get("TEXTARENA_AGENT_PLAYER", "0")),
            opponent_policy=get("TEXTARENA_OPPONENT_POLICY", "random"),
            max_steps=int(limit) if limit else None,
        )
    except ValueError as error:
        raise ConfigurationError(f"A variable of the TEXTARENA_ family makes no sense: {error}") from None


app = create_app(make, TextArenaAction, TextArenaObservation, env_name="textarena_env", state_cls=TextArenaState)
