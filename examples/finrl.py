"""Trades stocks of finrl_env through a crash: python examples/finrl.py [--no-sandbox]

The agent holds what is above its own mean of the last 60 days, and sells what is not.
"""

import argparse

import numpy as np

from finrl_env import FinRLAction, FinRLEnv, FinRLObservation
from openenv.providers import ProcessProvider, SandboxProvider

SERVER = "finrl_env.server.app:app"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    provider = ProcessProvider(SERVER) if parser.parse_args().no_sandbox else SandboxProvider(SERVER)
    with FinRLEnv.with_provider(provider) as env:
        result = env.reset()
        start = result.observation
        print(f"{start.portfolio_value:,.0f} in cash, to be put into {', '.join(start.tickers)}\n")
        mean = start.indicators.index("close_60_sma")
        day = 0
        while not result.done:
            if day % 50 == 0:
                show(result.observation, len(start.tickers))
            result, day = (
                env.step(FinRLAction(actions=follow(result.observation, mean, len(start.tickers)))),
                day + 1,
            )
        show(result.observation, len(start.tickers))
        end = result.observation
        gain = end.portfolio_value / start.portfolio_value - 1
        print(f"\nA gain of {gain:.1%} in {day} days, with {end.trades} trades for {end.cost:,.0f}")


def follow(seen: FinRLObservation, mean: int, stocks: int) -> np.ndarray:
    prices = seen.state[1 : 1 + stocks]
    first = 1 + (2 + mean) * stocks
    return np.where(prices > seen.state[first : first + stocks], 1.0, -1.0)


def show(seen: FinRLObservation, stocks: int) -> None:
    shares = seen.state[1 + stocks : 1 + 2 * stocks].astype(int)
    print(f"{seen.date}  {seen.portfolio_value:12,.0f}  shares {shares}  turbulence {seen.turbulence:.0f}")


if __name__ == "__main__":
    main()
