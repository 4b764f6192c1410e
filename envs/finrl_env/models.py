"""What goes to the trading environment and what comes back."""

from typing import Annotated, Any

import numpy as np
from pydantic import Field, field_validator

from openenv.models import Action, Observation, State

Share = Annotated[float, Field(ge=-1.0, le=1.0, allow_inf_nan=False, strict=True)]


class FinRLAction(Action):
    """What is bought and sold today."""

    actions: list[Share] = Field(
        min_length=1,
        max_length=10_000,
        description="One number a stock, from -1 (sell `hmax` shares) to 1 (buy `hmax` shares), in the order of "
        "`tickers`. A fraction of a share is left out.",
    )

    @field_validator("actions", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Take an array for a list, since that is what policies give."""
        return value.tolist() if isinstance(value, np.ndarray) else value


class FinRLObservation(Observation):
    """The day, and what there is."""

    state: np.ndarray = Field(
        description="Of dtype float64: cash, the prices of all stocks, the shares held of each, then for each "
        "indicator its values for all stocks."
    )
    date: str = Field(description="The day, such as `2024-01-31`.")
    portfolio_value: float = Field(description="Cash and shares at today's prices, in the currency of the prices.")
    turbulence: float = Field(
        default=0.0, description="How unusual the day's prices are; 0 for the first 254 days."
    )
    cost: float = Field(
        default=0.0, description="Costs of the trades of this episode so far, in the same currency."
    )
    trades: int = Field(default=0, description="Trades of this episode so far.")
    tickers: list[str] = Field(default_factory=list, description="The stocks; after a reset.")
    indicators: list[str] = Field(default_factory=list, description="The indicators; after a reset.")


class FinRLState(State):
    """Where an episode stands."""

    day: int = Field(default=0, description="The day's number in the data, 0 for the first.")
    date: str = ""
    days_left: int = 0
    cash: float = 0.0
    holdings: dict[str, int] = Field(default_factory=dict, description="Shares by stock.")
