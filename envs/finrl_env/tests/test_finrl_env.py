"""What finrl_env promises: the contract, states, trades to the cent, costs, turbulence, known returns."""

from pathlib import Path
from typing import Any

import pytest

pd = pytest.importorskip("pandas", reason="pandas is not installed")

import numpy as np
from pydantic import ValidationError

from finrl_env import FinRLAction, FinRLEnv, FinRLObservation, make_data, policies
from finrl_env.server.finrl_environment import FinRLEnvironment
from finrl_env.server.market import INDICATORS, SHIPPED, load
from openenv.errors import ConfigurationError, InvalidRequestError, NotResetError
from openenv.models import StepResult
from openenv.providers import ProcessProvider, SandboxProvider
from openenv.testing import EnvironmentContract, EnvironmentMemoryContract


class TestContract(EnvironmentContract):
    environment = staticmethod(lambda: FinRLEnvironment(days=8))
    actions = (FinRLAction(actions=[1, 0.5, 0, -0.5, -1]), FinRLAction(actions=[-1.0, 0.0, 0.3, 1.0, 0.0]))
    bad_actions = (
        {},
        {"actions": []},
        {"actions": [0.1] * 4},
        {"actions": [0.1] * 6},
        {"actions": [0.1, 0, 0, 0, 1.01]},
        {"actions": [10**30, 0, 0, 0, 0]},
        {"actions": ["0.1", 0, 0, 0, 0]},
        {"actions": [True, 0, 0, 0, 0]},
        {"actions": [None, 0, 0, 0, 0]},
        {"actions": 0.5},
        {"actions": {"ALPH": 1}},
        {"actions": [0] * 5, "more": 1},
    )


@pytest.mark.slow
class TestMemory(EnvironmentMemoryContract):
    environment = staticmethod(lambda: FinRLEnvironment(days=4))
    actions = (FinRLAction(actions=[1.0] * 5),)


PRICES = """date,tic,open,high,low,close,volume
2024-01-01,A,10,10,10,10,1
2024-01-01,B,20,20,20,20,1
2024-01-02,A,10,12,10,12,1
2024-01-02,B,20,20,18,18,1
2024-01-03,A,12,15,12,15,1
2024-01-03,B,18,18,18,18,1
2024-01-04,A,15,15,11,11,1
2024-01-04,B,18,30,18,30,1
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Prices of two stocks on four days."""
    file = tmp_path / "prices.csv"
    file.write_text(PRICES)
    return file


def played(data: Path | None, *actions: list[float], **settings: Any) -> list[StepResult]:
    environment = FinRLEnvironment(data, **settings)
    environment.reset()
    return [environment.step(FinRLAction(actions=each)) for each in actions]


def held(observation: FinRLObservation, stocks: int = 2) -> list[float]:
    """Return the cash and the shares."""
    return [observation.state[0], *observation.state[1 + stocks : 1 + 2 * stocks]]


# --- states ------------------------------------------------------------------------------------------------


def test_a_state_is_cash_prices_shares_and_indicators(small):
    environment = FinRLEnvironment(small, initial_amount=1000, hmax=10)
    start = environment.reset()
    assert (start.tickers, start.indicators, start.date) == (["A", "B"], list(INDICATORS), "2024-01-01")
    assert start.state.shape == (1 + 2 + 2 + 2 * len(INDICATORS),)
    assert start.state.dtype == np.float64
    assert start.state[:5].tolist() == [1000, 10, 20, 0, 0]
    place = 5 + 2 * INDICATORS.index("close_30_sma")
    environment.step(FinRLAction(actions=[0, 0]))
    seen = environment.step(FinRLAction(actions=[0, 0])).observation
    assert seen.state[place : place + 2] == pytest.approx([(10 + 12 + 15) / 3, (20 + 18 + 18) / 3])


def test_indicators_are_in_their_ranges_and_know_nothing_of_the_future(tmp_path):
    market = load(SHIPPED)
    by_name = {name: market.indicators[:, number] for number, name in enumerate(INDICATORS)}
    assert np.isfinite(market.indicators).all()
    for name in ("rsi_30", "dx_30"):
        assert 0 <= by_name[name].min() <= by_name[name].max() <= 100.001
    assert (by_name["boll_ub"] >= by_name["boll_lb"]).all()
    early = tmp_path / "early.csv"
    lines = SHIPPED.read_text().splitlines()
    early.write_text("\n".join(lines[: 1 + 5 * 300]))
    assert np.allclose(load(early).indicators, market.indicators[:300])
    assert np.allclose(load(early).turbulence, market.turbulence[:300])


def test_turbulence_is_highest_in_the_crash():
    turbulence = load(SHIPPED).turbulence
    assert make_data.CRASH.start <= int(turbulence.argmax()) < make_data.CRASH.stop


def test_turbulence_compares_a_day_with_the_year_before_it():
    market = load(SHIPPED)
    assert market.turbulence[:254].max() == 0
    returns = pd.DataFrame(market.prices).pct_change()
    for day in (254, 400):
        before = returns.iloc[day - 252 : day]
        off = returns.iloc[day] - before.mean()
        assert market.turbulence[day] == pytest.approx(off @ np.linalg.inv(before.cov()) @ off)
        assert market.turbulence[day] > 0


def test_the_shipped_prices_are_those_that_the_program_makes(tmp_path):
    file = tmp_path / "prices.csv"
    make_data.prices().to_csv(file, index=False)
    assert file.read_text() == SHIPPED.read_text()


# --- trades ------------------------------------------------------------------------------------------------


def test_what_is_bought_gains_with_the_price_and_costs(small):
    [result] = played(small, [0.5, 0], initial_amount=1000, hmax=10, buy_cost=0.01, reward_scaling=1.0)
    assert held(result.observation) == [pytest.approx(1000 - 50 - 0.5), 5, 0]
    assert result.reward == pytest.approx(5 * 2 - 0.5)
    assert result.observation.portfolio_value == pytest.approx(1009.5)
    assert (result.observation.cost, result.observation.trades) == (pytest.approx(0.5), 1)


def test_one_sells_no_more_than_one_has(small):
    *_, result = played(small, [0.5, 0], [-1, -1], initial_amount=1000, hmax=10, buy_cost=0, sell_cost=0.1)
    assert held(result.observation) == [pytest.approx(950 + 60 * 0.9), 0, 0]


def test_one_buys_no_more_than_there_is_cash_for_the_largest_order_first(small):
    [result] = played(small, [0.8, 1], initial_amount=150, hmax=10, buy_cost=0.0)
    assert held(result.observation) == [0, 1, 7]


def test_what_is_sold_pays_for_what_is_bought_on_the_same_day(small):
    *_, result = played(small, [1, 0], [-1, 0.6], initial_amount=100, hmax=10, buy_cost=0, sell_cost=0)
    assert held(result.observation) == [120 - 6 * 18, 0, 6]


def test_a_fraction_of_a_share_is_left_out(small):
    [result] = played(small, [0.19, -0.09], initial_amount=1000, hmax=10, buy_cost=0)
    assert held(result.observation) == [990, 1, 0]


@pytest.mark.parametrize("number", [7, 14, 28, 29, 55, 57, 58])
def test_hundredths_of_a_hundred_shares_are_what_they_say(number):
    buy, sell = ([sign * number / 100, 0, 0, 0, 0] for sign in (1, -1))
    bought, sold = played(None, buy, sell)
    assert held(bought.observation, 5)[1] == number
    assert held(sold.observation, 5)[1] == 0


def test_in_turbulence_everything_is_sold_and_nothing_bought(small):
    *_, result = played(
        small, [1, 0], initial_amount=1000, hmax=10, turbulence_threshold=0.0, buy_cost=0, sell_cost=0
    )
    assert held(result.observation) == [1000, 0, 0]
    environment = FinRLEnvironment(turbulence_threshold=30.0)
    environment.reset()
    turbulent = FinRLAction(actions=[1.0] * 5)
    observation = environment.step(turbulent).observation
    while observation.turbulence < 30:
        observation = environment.step(turbulent).observation
    assert sum(held(observation, 5)[1:]) > 0
    assert sum(held(environment.step(turbulent).observation, 5)[1:]) == 0


def test_an_episode_ends_with_the_data_and_is_cut_off_after_its_days(small):
    results = played(small, *[[0, 0]] * 3)
    assert [(result.terminated, result.truncated) for result in results] == [(False, False)] * 2 + [(True, False)]
    [*_, result] = played(small, *[[0, 0]] * 3, days=3)  # all there are
    assert (result.terminated, result.truncated) == (True, False)
    environment = FinRLEnvironment(days=2)
    starts = {environment.reset(seed=seed).date for seed in range(10)}
    assert len(starts) > 5
    results = [environment.step(FinRLAction(actions=[0] * 5)) for _ in range(2)]
    assert [(result.terminated, result.truncated) for result in results] == [(False, False), (False, True)]


def test_the_state_tells_what_is_held(small):
    environment = FinRLEnvironment(small, initial_amount=1000, hmax=10, buy_cost=0)
    environment.reset()
    environment.step(FinRLAction(actions=[0.5, 0.1]))
    state = environment.state
    assert (state.day, state.date, state.days_left, state.step_count) == (1, "2024-01-02", 2, 1)
    assert (state.cash, state.holdings) == (930.0, {"A": 5, "B": 1})


# --- what is refused ---------------------------------------------------------------------------------------


def test_an_action_is_one_number_a_stock_and_may_be_an_array():
    environment = FinRLEnvironment()
    environment.reset()
    with pytest.raises(InvalidRequestError, match="5 stocks, and 2 actions"):
        environment.step(FinRLAction(actions=[0, 0]))
    assert environment.state.step_count == 0
    environment.step(FinRLAction(actions=np.zeros(5, np.float32)))
    for bad in ([float("nan")] * 5, [float("inf")] * 5, [1.5] * 5, np.zeros((5, 1)), "abcde"):
        with pytest.raises(ValidationError):
            FinRLAction(actions=bad)


UNUSABLE = {
    "empty": "",
    "columns": "date,tic\n",
    "missing": PRICES.replace(",12,10,12,", ",12,10,,"),
    "negative": PRICES.replace("18,18,18,18", "18,18,18,-1"),
    "twice": PRICES.replace("2024-01-02,B", "2024-01-02,A"),
    "one day": "\n".join(PRICES.splitlines()[:3]),
    "text": PRICES.replace("30,1", "x,1"),
}


@pytest.mark.parametrize("text", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_prices_that_cannot_be_used_say_why(text, tmp_path):
    file = tmp_path / "prices.csv"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"prices\.csv"):
        FinRLEnvironment(file)


@pytest.mark.parametrize(
    "settings",
    [
        {"initial_amount": 0},
        {"initial_amount": float("inf")},
        {"initial_amount": float("nan")},
        {"reward_scaling": float("inf")},
        {"turbulence_threshold": float("nan")},
        {"turbulence_threshold": float("inf")},
        {"hmax": 0},
        {"hmax": 10**30},
        {"buy_cost": 1},
        {"sell_cost": -1},
        {"days": 0},
        {"days": 504},
        {"data": "/no"},
    ],
    ids=str,
)
def test_a_setting_that_is_wrong_says_so(settings):
    with pytest.raises(ConfigurationError):
        FinRLEnvironment(**settings)


def test_a_step_before_the_first_reset_and_a_seed_below_zero_are_refused():
    with pytest.raises(NotResetError):
        FinRLEnvironment().step(FinRLAction(actions=[0] * 5))
    with pytest.raises(InvalidRequestError):
        FinRLEnvironment().reset(seed=-1)


# --- what it looks like, and what policies earn ------------------------------------------------------------


def test_the_value_is_drawn_from_the_first_day_on():
    environment = FinRLEnvironment()
    assert environment.render() is None
    observation = environment.reset()
    assert environment.render().startswith(b"\x89PNG")
    first = environment.render()
    environment.step(FinRLAction(actions=[1.0] * 5))
    assert environment.render() != first
    assert "2023-01-02: 1,000,000.00" in environment.render_web(observation)


def test_an_episode_against_a_server_with_settings_from_variables():
    variables = {"FINRL_ENV_INITIAL_AMOUNT": "5000", "FINRL_ENV_HMAX": "10", "FINRL_ENV_DAYS": "2"}
    with FinRLEnv.with_provider(ProcessProvider("finrl_env.server.app:app", env_vars=variables)) as env:
        assert env.reset(seed=1).observation.portfolio_value == 5000
        env.step(FinRLAction(actions=[0.5] * 5))
        assert env.step(FinRLAction(actions=[0] * 5)).truncated
        assert set(env.state().holdings.values()) == {5}


@pytest.mark.slow
def test_the_policies_in_a_sandbox():
    with FinRLEnv.with_provider(SandboxProvider("finrl_env.server.app:app", memory_bytes=4 * 2**30)) as env:
        assert policies.oracle(env) == pytest.approx(policies.MAX_RETURN)
        assert policies.hold(env) == pytest.approx(policies.HELD_RETURN)
        assert policies.null(env) == policies.MIN_RETURN
