"""The application that serves the browser environment.

| variable | default | |
|---|---|---|
| `BROWSERGYM_TASK_NAME` | `click-test` | the task of an episode that names none |
| `BROWSERGYM_BROWSERS` | 1 | browsers that all sessions share |
| `BROWSERGYM_MAX_STEPS` | 30 | steps of an episode |
| `BROWSERGYM_SCREENSHOT` | `true` | whether observations have a picture |
| `BROWSERGYM_HTML` | `false` | whether observations have HTML |
| `BROWSERGYM_ALLOW` | | hosts of the network that pages may be loaded from, with commas between them; `*` for all |
| `BROWSERGYM_ACTIONS` | `bid,coord,nav,tab,chat,infeas` | BrowserGym's names of sets of actions |
| `BROWSERGYM_PROGRAM` | | the browser; without it the first that is found |
"""

import os

from openenv.errors import ConfigurationError
from openenv.server import create_app

from ..models import BrowserGymAction, BrowserGymObservation, BrowserGymState
from .actions import DEFAULT_SUBSETS
from .browsergym_environment import BrowserGymEnvironment


def make() -> BrowserGymEnvironment:
    """Return an environment as the variables say.

    Raises:
        ConfigurationError: A variable has a value that makes no sense.
    """
    get = os.environ.get
    truth = {"true": True, "1": True, "false": False, "0": False}
    try:
        return BrowserGymEnvironment(
            get("BROWSERGYM_TASK_NAME", "click-test"),
            browsers=int(get("BROWSERGYM_BROWSERS", "1")),
            max_steps=int(get("BROWSERGYM_MAX_STEPS", "30")),
            screenshot=truth[get("BROWSERGYM_SCREENSHOT", "true").lower()],
            pruned_html=truth[get("BROWSERGYM_HTML", "false").lower()],
            allow=_listed(get("BROWSERGYM_ALLOW", "")),
            action_subsets=_listed(get("BROWSERGYM_ACTIONS", ",".join(DEFAULT_SUBSETS))),
            program=get("BROWSERGYM_PROGRAM") or None,
        )
    except (KeyError, ValueError) as error:
        raise ConfigurationError(f"A variable of the BROWSERGYM_ family makes no sense: {error}") from None


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


app = create_app(
    make, BrowserGymAction, BrowserGymObservation, env_name="browsergym_env", state_cls=BrowserGymState
)
