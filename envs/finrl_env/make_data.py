"""Makes the prices that come with the environment: `python -m finrl_env.make_data`.

They are drawn, not real: five stocks that follow a common market, two years of days, a crash and a recovery in the
second. Whoever wants to trade on real ones names a file of their own.
"""

from pathlib import Path

import numpy as np
import pandas as pd

FILE = Path(__file__).parent / "data" / "prices.csv"
TICKERS = ("ALPH", "BRCK", "CRSP", "DUNE", "ELMS")
DAYS, SEED = 504, 2024
CRASH = slice(300, 330)


def prices() -> pd.DataFrame:
    """Return the prices: date, tic, open, high, low, close, volume."""
    draw = np.random.default_rng(SEED)
    market = draw.normal(0.0004, 0.007, DAYS)
    market[CRASH] += draw.normal(-0.010, 0.020, CRASH.stop - CRASH.start)
    dates = pd.bdate_range("2023-01-02", periods=DAYS).strftime("%Y-%m-%d")
    frames = []
    for ticker, beta, drift, start in zip(
        TICKERS,
        (0.7, 0.9, 1.0, 1.2, 1.4),
        (0.0006, 0.0, 0.0003, -0.0002, 0.0004),
        (40, 85, 120, 60, 25),
        strict=True,
    ):
        moves = beta * market + draw.normal(drift, 0.009, DAYS)
        close = start * np.exp(np.cumsum(moves))
        before = np.concatenate([[start], close[:-1]])
        opened = before * np.exp(draw.normal(0, 0.003, DAYS))
        spread = np.exp(np.abs(draw.normal(0, 0.005, (2, DAYS))))
        volume = draw.lognormal(13, 0.4, DAYS).astype(int)
        columns = {
            "open": opened,
            "high": np.maximum(opened, close) * spread[0],
            "low": np.minimum(opened, close) / spread[1],
        }
        frames.append(pd.DataFrame({"date": dates, "tic": ticker, **columns, "close": close, "volume": volume}))
    return pd.concat(frames).sort_values(["date", "tic"]).round(2)


if __name__ == "__main__":
    prices().to_csv(FILE, index=False)
