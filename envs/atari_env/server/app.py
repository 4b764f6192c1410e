"""The application that serves the Atari environment.

| variable | |
|---|---|
| `ATARI_GAME` | the game; `pong` by default |
| `ATARI_OBS_TYPE` | `rgb` (the default), `grayscale` or `ram` |
| `ATARI_SIZE` | height and width that a screen is resized to, such as 84 |
| `ATARI_FRAMESKIP` | frames that an action is held for; 4 by default |
| `ATARI_REPEAT_ACTION_PROB` | the chance that the action before is held on; 0.25 by default |
| `ATARI_FULL_ACTION_SPACE` | `true`: all 18 actions |
| `ATARI_MAX_POOL` | `true`: the larger of the last two frames at each pixel |
| `ATARI_NOOPS` | up to so many frames without an action after a reset |
| `ATARI_MODE`, `ATARI_DIFFICULTY` | of the game |
"""

import os
from typing import Any

from openenv.errors import ConfigurationError
from openenv.server import create_app

from ..models import AtariAction, AtariObservation, AtariState
from .atari_environment import AtariEnvironment


def _true(text: str) -> bool:
    return text.lower() in ("1", "true", "yes")


SETTINGS: dict[str, tuple[str, Any]] = {
    "ATARI_GAME": ("game", str),
    "ATARI_OBS_TYPE": ("observation", str),
    "ATARI_SIZE": ("size", int),
    "ATARI_FRAMESKIP": ("frame_skip", int),
    "ATARI_REPEAT_ACTION_PROB": ("sticky", float),
    "ATARI_FULL_ACTION_SPACE": ("full_action_set", _true),
    "ATARI_MAX_POOL": ("max_pool", _true),
    "ATARI_NOOPS": ("noops", int),
    "ATARI_MODE": ("mode", int),
    "ATARI_DIFFICULTY": ("difficulty", int),
}


def make() -> AtariEnvironment:
    """Return an environment as the variables say.

    Raises:
        ConfigurationError: A variable is wrong.
    """
    given = {}
    for variable, (argument, read) in SETTINGS.items():
        if text := os.environ.get(variable):
            try:
                given[argument] = read(text)
            except ValueError:
                raise ConfigurationError(f"{variable} is {text!r}, which is no {read.__name__}") from None
    return AtariEnvironment(**given)


app = create_app(make, AtariAction, AtariObservation, env_name="atari_env", state_cls=AtariState)
