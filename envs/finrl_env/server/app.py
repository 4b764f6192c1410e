"""The application that serves the trading environment.

| variable | |
|---|---|
| `FINRL_ENV_DATA` | a CSV file of prices |
| `FINRL_ENV_INITIAL_AMOUNT` | cash at the start; 1,000,000 by default |
| `FINRL_ENV_HMAX` | shares that an action of 1 buys; 100 by default |
| `FINRL_ENV_BUY_COST`, `FINRL_ENV_SELL_COST` | costs, as a share of the price; 0.001 by default |
| `FINRL_ENV_REWARD_SCALING` | what a gain is multiplied with; 0.0001 by default |
| `FINRL_ENV_TURBULENCE_THRESHOLD` | from this turbulence on everything is sold |
| `FINRL_ENV_DAYS` | days of an episode; all there are by default |
"""

import os
from pathlib import Path
from typing import Any

from openenv.errors import ConfigurationError
from openenv.server import create_app

from ..models import FinRLAction, FinRLObservation, FinRLState
from .finrl_environment import FinRLEnvironment

SETTINGS: dict[str, type] = {
    "data": Path,
    "initial_amount": float,
    "hmax": int,
    "buy_cost": float,
    "sell_cost": float,
    "reward_scaling": float,
    "turbulence_threshold": float,
    "days": int,
}


def make() -> FinRLEnvironment:
    """Return an environment as the variables say.

    Raises:
        ConfigurationError: A variable is wrong.
    """
    given: dict[str, Any] = {}
    for name, read in SETTINGS.items():
        variable = f"FINRL_ENV_{name.upper()}"
        if text := os.environ.get(variable):
            try:
                given[name] = read(text)
            except ValueError:
                raise ConfigurationError(f"{variable} is {text!r}, which is no {read.__name__}") from None
    return FinRLEnvironment(**given)


app = create_app(make, FinRLAction, FinRLObservation, env_name="finrl_env", state_cls=FinRLState)
