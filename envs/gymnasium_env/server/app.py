"""The application that serves the Gymnasium environment.

| variable | |
|---|---|
| `GYMNASIUM_ENV_ID` | the environment that is played; `CartPole-v1` by default |
| `GYMNASIUM_ENV_KWARGS` | its arguments, a JSON object |
| `GYMNASIUM_ENV_MODULES` | modules that are imported first, since they register environments: `minigrid,ale_py` |
| `GYMNASIUM_ENV_MAX_STEPS` | steps after which an episode is cut off; as registered by default |
| `GYMNASIUM_ENV_RENDER_MODE` | `rgb_array` or `ansi`; nothing is drawn without |
| `GYMNASIUM_ENV_SHOW` | `true`: every observation has its picture or text |
"""

import json
import os

from openenv.errors import ConfigurationError
from openenv.server import create_app

from ..models import GymnasiumAction, GymnasiumObservation, GymnasiumState
from .gymnasium_environment import GymnasiumEnvironment


def make() -> GymnasiumEnvironment:
    """Return an environment as the variables say.

    Raises:
        ConfigurationError: A variable is wrong.
    """
    said = os.environ
    try:
        kwargs = json.loads(said.get("GYMNASIUM_ENV_KWARGS") or "{}")
        steps = int(said.get("GYMNASIUM_ENV_MAX_STEPS") or 0)
    except ValueError as error:
        raise ConfigurationError(
            f"GYMNASIUM_ENV_KWARGS is no JSON, or GYMNASIUM_ENV_MAX_STEPS no number: {error}"
        ) from error
    return GymnasiumEnvironment(
        said.get("GYMNASIUM_ENV_ID", "CartPole-v1"),
        kwargs=kwargs,
        modules=[name.strip() for name in said.get("GYMNASIUM_ENV_MODULES", "").split(",") if name.strip()],
        max_episode_steps=steps or None,
        render_mode=said.get("GYMNASIUM_ENV_RENDER_MODE") or None,
        show=said.get("GYMNASIUM_ENV_SHOW", "").lower() in ("1", "true", "yes"),
    )


app = create_app(make, GymnasiumAction, GymnasiumObservation, env_name="gymnasium_env", state_cls=GymnasiumState)
