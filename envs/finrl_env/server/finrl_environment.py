"""The trading environment: FinRL's states, actions, costs and turbulence, on a table of prices.

What a step does follows FinRL's `StockTradingEnv`: shares are sold first, then bought, the largest action first, as
far as the cash goes; then the next day comes, and the reward is what the portfolio gained by it.
"""

import base64
import math
from pathlib import Path
from uuid import uuid4

import numpy as np

from openenv.environment import Environment
from openenv.errors import ConfigurationError, InvalidRequestError, NotResetError
from openenv.models import StepResult

from ..models import FinRLAction, FinRLObservation, FinRLState
from .market import INDICATORS, SHIPPED, load
from .plot import plot

MOST_SHARES = 10**9
OWN, HELD = (31, 119, 180), (190, 190, 190)


class FinRLEnvironment(Environment[FinRLAction, FinRLObservation, FinRLState]):
    """Stock trading in FinRL's layout. The reward is what the portfolio gained by the day, scaled.

    Args:
        data: A CSV file of prices; None for the one that comes with the package.
        initial_amount: Cash at the start, in the currency of the prices.
        hmax: Shares that an action of 1 buys, a billion at most.
        buy_cost: Costs of buying, as a share of the price.
        sell_cost: Costs of selling, as a share of the price.
        reward_scaling: What a gain is multiplied with to make a reward.
        turbulence_threshold: From this turbulence on everything is sold and nothing bought; None for never.
        days: Days of an episode, which begins on a day drawn by the seed; None for all there are.

    Raises:
        ConfigurationError: The file cannot be used, or a setting is out of its range.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True
    NON_BLOCKING = True

    def __init__(
        self,
        data: Path | None = None,
        *,
        initial_amount: float = 1_000_000.0,
        hmax: int = 100,
        buy_cost: float = 0.001,
        sell_cost: float = 0.001,
        reward_scaling: float = 1e-4,
        turbulence_threshold: float | None = None,
        days: int | None = None,
    ) -> None:
        super().__init__()
        above_zero = all(value > 0 and math.isfinite(value) for value in (initial_amount, reward_scaling))
        if not (above_zero and 1 <= hmax <= MOST_SHARES and 0 <= buy_cost < 1 and 0 <= sell_cost < 1):
            raise ConfigurationError(
                f"Amount and scaling are above 0, hmax is from 1 to {MOST_SHARES:,}, costs are from 0 to below 1"
            )
        if turbulence_threshold is not None and not math.isfinite(turbulence_threshold):
            raise ConfigurationError(f"turbulence_threshold is a number, and not {turbulence_threshold}")
        self._market = load(Path(data) if data is not None else SHIPPED)
        if days is not None and not 1 <= days < len(self._market.dates):
            raise ConfigurationError(f"days is from 1 to {len(self._market.dates) - 1}, and not {days}")
        self._amount, self._hmax, self._costs = initial_amount, hmax, (buy_cost, sell_cost)
        self._scaling, self._threshold, self._days = reward_scaling, turbulence_threshold, days
        self._random = np.random.default_rng()
        self._day = self._first = self._last = -1
        self._cash, self._paid, self._trades = 0.0, 0.0, 0
        self._shares = np.zeros(len(self._market.tickers), dtype=np.int64)
        self._values: list[float] = []
        self._episode_id = ""

    def reset(self, seed: int | None = None, episode_id: str | None = None) -> FinRLObservation:
        """Begin with cash only.

        Args:
            seed: Draws the first day, where an episode has fewer days than there are; else it changes nothing.
            episode_id: The id that the episode shall have.

        Raises:
            InvalidRequestError: The seed is below 0.
        """
        if seed is not None and seed < 0:
            raise InvalidRequestError(f"The seed is {seed}; it has to be 0 or more")
        if seed is not None:
            self._random = np.random.default_rng(seed)
        days = len(self._market.dates)
        self._first = int(self._random.integers(days - self._days)) if self._days is not None else 0
        self._day, self._last = self._first, (self._first + self._days if self._days is not None else days - 1)
        self._cash, self._paid, self._trades = float(self._amount), 0.0, 0
        self._shares = np.zeros_like(self._shares)
        self._values = [self._value()]
        self._episode_id = episode_id or uuid4().hex
        seen = self._seen()
        seen.tickers, seen.indicators = list(self._market.tickers), list(INDICATORS)
        return seen

    def step(self, action: FinRLAction) -> StepResult[FinRLObservation]:
        """Sell and buy at today's prices, then go on to the next day.

        The end of the prices is the end of the episode; that of its days is a time limit, and cuts it off.

        Raises:
            InvalidRequestError: There is not one number a stock. Nothing has changed.
        """
        if self._day < 0:
            raise NotResetError("Nothing is traded yet: call reset() before step()")
        if len(action.actions) != len(self._shares):
            raise InvalidRequestError(f"There are {len(self._shares)} stocks, and {len(action.actions)} actions")
        before = self._value()
        self._trade(np.array(action.actions, np.float32))  # of FinRL's dtype: 0.29 of 100 is 29, in float64 28
        self._day += 1
        after = self._value()
        self._values.append(after)
        end, last = self._day == len(self._market.dates) - 1, self._day == self._last
        return StepResult(
            self._seen(), reward=(after - before) * self._scaling, terminated=end, truncated=last and not end
        )

    @property
    def state(self) -> FinRLState:
        """The episode's id, its day, and what there is."""
        if self._day < 0:
            return FinRLState()
        return FinRLState(
            episode_id=self._episode_id,
            step_count=self._day - self._first,
            day=self._day,
            date=self._market.dates[self._day],
            days_left=self._last - self._day,
            cash=self._cash,
            holdings=dict(zip(self._market.tickers, self._shares.tolist(), strict=True)),
        )

    def render(self) -> bytes | None:
        """Return a PNG file of the value so far, in grey that of all stocks held; None before the first reset."""
        if self._day < 0:
            return None
        prices = self._market.prices[self._first : self._day + 1]
        held = self._amount * (prices / prices[0]).mean(axis=1)
        return plot([(held.tolist(), HELD), (self._values, OWN)])

    def render_web(self, observation: FinRLObservation) -> str:
        """Return the picture as HTML, with the figures of the day."""
        drawn = base64.b64encode(self.render() or b"").decode()
        return (
            f'<img alt="Value of the portfolio" src="data:image/png;base64,{drawn}">'
            f"<p>{observation.date}: {observation.portfolio_value:,.2f}, of which {self._cash:,.2f} in cash; "
            f"{observation.trades} trades for {observation.cost:,.2f}. Grey: all stocks held.</p>"
        )

    # --- trading -----------------------------------------------------------------------------------------

    def _trade(self, actions: np.ndarray) -> None:
        orders = (actions * self._hmax).astype(np.int64)
        if self._threshold is not None and self._market.turbulence[self._day] >= self._threshold:
            orders = -self._shares
        by_size = np.argsort(orders, kind="stable")
        for stock in by_size[: int((orders < 0).sum())]:
            self._sell(stock, int(-orders[stock]))
        for stock in by_size[::-1][: int((orders > 0).sum())]:
            self._buy(stock, int(orders[stock]))

    def _sell(self, stock: int, wanted: int) -> None:
        number = min(wanted, int(self._shares[stock]))
        self._book(stock, -number, self._costs[1])

    def _buy(self, stock: int, wanted: int) -> None:
        price = float(self._market.prices[self._day, stock])
        number = min(wanted, int(self._cash // (price * (1 + self._costs[0]))))
        self._book(stock, number, self._costs[0])

    def _book(self, stock: int, number: int, rate: float) -> None:
        if number == 0:
            return
        worth = float(self._market.prices[self._day, stock]) * number
        cost = abs(worth) * rate
        self._cash -= worth + cost
        self._shares[stock] += number
        self._paid += cost
        self._trades += 1

    # --- what is seen ------------------------------------------------------------------------------------

    def _value(self) -> float:
        return self._cash + float(self._market.prices[self._day] @ self._shares)

    def _seen(self) -> FinRLObservation:
        market, day = self._market, self._day
        return FinRLObservation(
            state=np.concatenate([[self._cash], market.prices[day], self._shares, market.indicators[day].ravel()]),
            date=market.dates[day],
            portfolio_value=self._value(),
            turbulence=float(market.turbulence[day]),
            cost=self._paid,
            trades=self._trades,
        )
