"""Prices, and what FinRL computes of them: technical indicators and turbulence.

They are computed once for a file, for every day from what was known by then.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from openenv.errors import ConfigurationError

SHIPPED = Path(__file__).parents[1] / "data" / "prices.csv"
INDICATORS = ("macd", "boll_ub", "boll_lb", "rsi_30", "cci_30", "dx_30", "close_30_sma", "close_60_sma")
COLUMNS = ("date", "tic", "high", "low", "close")
LOOKBACK = 252
"""Days that a day is compared with to say how turbulent it is: a year."""
SETTLED = LOOKBACK + 2
"""The first day that has a turbulence. FinRL leaves out the first two that it could say, for they are outliers."""


@dataclass(frozen=True)
class Market:
    """What is known of some stocks on each day.

    Attributes:
        tickers: The stocks.
        dates: The days.
        prices: (days, stocks), at the close.
        indicators: (days, indicators, stocks).
        turbulence: (days,).
    """

    tickers: tuple[str, ...]
    dates: tuple[str, ...]
    prices: np.ndarray
    indicators: np.ndarray
    turbulence: np.ndarray


@lru_cache(maxsize=8)
def load(file: Path) -> Market:
    """Read a file of prices with the columns date, tic, high, low and close.

    Raises:
        ConfigurationError: It cannot be read, a column or a price is missing, or there are fewer than two days.
    """
    try:
        table = pd.read_csv(file, dtype={"date": str, "tic": str})
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error
    if missing := set(COLUMNS) - set(table.columns):
        raise ConfigurationError(f"{file} has no column {', '.join(sorted(missing))}")
    try:
        high, low, close = (
            table.pivot(index="date", columns="tic", values=name).sort_index().astype(float)
            for name in ("high", "low", "close")
        )
    except ValueError as error:
        raise ConfigurationError(f"{file}: {error}") from error
    if len(close) < 2 or not np.isfinite(close.to_numpy()).all() or (close.to_numpy() <= 0).any():
        raise ConfigurationError(
            f"{file} has to have a price above 0 for every stock on every day, of two days or more"
        )
    computed = _indicators(high, low, close)
    indicators = np.stack(
        [np.nan_to_num(computed[name].to_numpy(), posinf=0, neginf=0) for name in INDICATORS], axis=1
    )
    return Market(tuple(close.columns), tuple(close.index), close.to_numpy(), indicators, _turbulence(close))


def _indicators(high: pd.DataFrame, low: pd.DataFrame, close: pd.DataFrame) -> dict[str, pd.DataFrame]:
    middle, width = close.rolling(20, min_periods=1).mean(), close.rolling(20, min_periods=1).std().fillna(0.0)
    return {
        "macd": close.ewm(span=12).mean() - close.ewm(span=26).mean(),
        "boll_ub": middle + 2 * width,
        "boll_lb": middle - 2 * width,
        "rsi_30": _relative_strength(close),
        "cci_30": _channel(high, low, close),
        "dx_30": _directional(high, low, close),
        "close_30_sma": close.rolling(30, min_periods=1).mean(),
        "close_60_sma": close.rolling(60, min_periods=1).mean(),
    }


def _smoothed(values: pd.DataFrame) -> pd.DataFrame:
    return values.ewm(alpha=1 / 30, min_periods=1).mean()


def _relative_strength(close: pd.DataFrame) -> pd.DataFrame:
    moves = close.diff()
    up, down = _smoothed(moves.clip(lower=0)), _smoothed(-moves.clip(upper=0))
    return 100 * up / (up + down)


def _channel(high: pd.DataFrame, low: pd.DataFrame, close: pd.DataFrame) -> pd.DataFrame:
    typical = (high + low + close) / 3
    mean = typical.rolling(30, min_periods=1).mean()
    deviation = typical.rolling(30, min_periods=1).apply(
        lambda window: np.abs(window - window.mean()).mean(), raw=True
    )
    return (typical - mean) / (0.015 * deviation)


def _directional(high: pd.DataFrame, low: pd.DataFrame, close: pd.DataFrame) -> pd.DataFrame:
    up, down, before = high.diff(), -low.diff(), close.shift()
    plus, minus = up.where((up > down) & (up > 0), 0.0), down.where((down > up) & (down > 0), 0.0)
    ranges = np.maximum(high, before) - np.minimum(low, before)
    plus, minus = (_smoothed(each) / _smoothed(ranges) for each in (plus, minus))
    return 100 * (plus - minus).abs() / (plus + minus)


def _turbulence(close: pd.DataFrame) -> np.ndarray:
    """Return how far each day's returns are from those of the days before (squared Mahalanobis distance)."""
    returns = close.pct_change().to_numpy()
    found = np.zeros(len(returns))
    for day in range(SETTLED, len(returns)):
        before = returns[day - LOOKBACK : day]
        off = returns[day] - before.mean(axis=0)
        spread = np.atleast_2d(np.cov(before, rowvar=False))
        found[day] = max(0.0, float(off @ np.linalg.pinv(spread) @ off))
    return found
