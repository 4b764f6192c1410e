"""What blackjack_env promises: the contract, the rules, and policies whose value is computed here anew."""

from functools import cache

import pytest

from blackjack_env import BlackjackAction, BlackjackEnv, BlackjackObservation
from blackjack_env.policies import MIN_RETURN, ORACLE_EXPECTED, STAND_EXPECTED, best, null, oracle, stand
from blackjack_env.server import app
from blackjack_env.server.blackjack_environment import BlackjackEnvironment, total_of
from openenv.errors import ConfigurationError, IsolationError, NotResetError
from openenv.models import StepResult
from openenv.providers import SandboxProvider
from openenv.testing import EnvironmentContract, EnvironmentMemoryContract

HIT, STAND = BlackjackAction(move="hit"), BlackjackAction(move="stand")


class TestContract(EnvironmentContract):
    environment = BlackjackEnvironment
    actions = (STAND, HIT)
    bad_actions = (
        {},
        {"move": "double"},
        {"move": 1},
        {"move": None},
        {"move": ["hit"]},
        {"move": "hit", "bet": 5},
    )

    def choose_action(self, step: int, result: StepResult[BlackjackObservation]) -> BlackjackAction:
        return BlackjackAction(move=best(result.observation))


@pytest.mark.slow
class TestMemory(EnvironmentMemoryContract):
    environment = BlackjackEnvironment
    actions = (HIT,)
    steps = 1


class Direct:
    """An environment with the face of a blocking client."""

    def __init__(self) -> None:
        self._environment = BlackjackEnvironment()

    def reset(self, **arguments: int) -> StepResult[BlackjackObservation]:
        return self._result(self._environment.reset(**arguments))

    def step(self, action: BlackjackAction) -> StepResult[BlackjackObservation]:
        return self._result(self._environment.step(action))

    @staticmethod
    def _result(seen: BlackjackObservation) -> StepResult[BlackjackObservation]:
        return StepResult(seen, seen.reward, seen.done)


def dealt(player: str, dealer: str, coming: str = "", natural: float = 1.0) -> BlackjackEnvironment:
    """Return an environment with these cards on the table, and these in the deck."""
    environment = BlackjackEnvironment(natural)
    environment.reset()
    environment._player, environment._dealer = player.split(), dealer.split()
    deck = iter(coming.split())
    environment._rng.choice = lambda _: next(deck)
    return environment


@pytest.mark.parametrize(
    ("cards", "total", "usable"),
    [
        ("A A", 12, True),
        ("A K", 21, True),
        ("A 9 A", 21, True),
        ("A 9 2", 12, False),
        ("10 J Q", 30, False),
        ("A A K", 12, False),
        ("7 8", 15, False),
    ],
)
def test_an_ace_counts_eleven_where_that_does_not_exceed_21(cards, total, usable):
    assert total_of(cards.split()) == (total, usable)


@pytest.mark.parametrize(
    ("player", "dealer", "coming", "reward"),
    [
        ("10 9", "10 8", "", 1.0),
        ("10 8", "10 8", "", 0.0),
        ("10 7", "10 8", "", -1.0),
        ("10 2", "10 6", "10", 1.0),  # the dealer must draw, and has too much
        ("10 9", "10 6", "5", -1.0),
        ("10 9", "A 6", "", 1.0),  # the dealer stands on a soft 17
        ("A K", "10 8", "", 1.0),
        ("A K", "A Q", "", 0.0),
        ("A K", "10 6", "5", 1.0),  # a natural beats another 21
        ("10 9 2", "A Q", "", -1.0),
        ("10 9 2", "10 6", "5", 0.0),
    ],
)
def test_standing_compares(player, dealer, coming, reward):
    seen = dealt(player, dealer, coming).step(STAND)
    assert (seen.reward, seen.done) == (reward, True)
    assert seen.legal_actions == []
    assert seen.dealer_cards == [*dealer.split(), *coming.split()]


def test_a_natural_may_pay_more_and_nothing_else_does():
    assert dealt("A K", "10 8", natural=1.5).step(STAND).reward == 1.5
    assert dealt("10 9 2", "10 8", natural=1.5).step(STAND).reward == 1.0


def test_more_than_21_is_lost_at_once_and_less_goes_on():
    environment = dealt("10 2", "10 8", "5 K")
    seen = environment.step(HIT)
    assert (seen.player_total, seen.reward, seen.done) == (17, 0.0, False)
    assert seen.legal_actions == ["hit", "stand"]
    seen = environment.step(HIT)
    assert (seen.player_total, seen.reward, seen.done) == (27, -1.0, True)


def test_the_dealers_second_card_is_hidden_until_the_end():
    seen = dealt("10 2", "10 8", "5").step(HIT)
    assert seen.dealer_cards == ["10"]
    assert seen.text == "You have 10 2 5 (17). The dealer shows 10. Hit or stand?"
    seen = dealt("A 2", "10 8").step(STAND)
    assert seen.text == "You have A 2 (13, soft). The dealer has 10 8 (18)."


def test_the_same_seed_deals_the_same_cards():
    first, again = (Direct().reset(seed=4).observation for _ in range(2))
    assert first == again
    assert len({Direct().reset(seed=seed).observation.text for seed in range(100)}) > 80


@pytest.mark.parametrize("natural", [0.5, -1.0, 1e9, float("nan"), float("inf")])
def test_what_a_natural_pays_has_a_range(natural):
    with pytest.raises(ConfigurationError, match="natural"):
        BlackjackEnvironment(natural)


def test_a_variable_says_what_a_natural_pays(monkeypatch):
    monkeypatch.setenv("BLACKJACK_NATURAL", "1.5")
    environment = app.make()
    environment.reset()
    environment._player, environment._dealer = ["A", "K"], ["9", "9"]
    assert environment.step(STAND).reward == 1.5


def test_a_step_before_the_first_reset_says_so():
    with pytest.raises(NotResetError, match=r"reset\(\)"):
        BlackjackEnvironment().step(HIT)


# --- what policies are worth -------------------------------------------------------------------------

CHANCES = {**dict.fromkeys(range(1, 10), 1 / 13), 10: 4 / 13}


def drawn(total: int, soft: bool, card: int) -> tuple[int, bool]:
    if card == 1 and total + 11 <= 21:
        return total + 11, True
    total += card
    return (total - 10, False) if total > 21 and soft else (total, soft)


@cache
def dealers(total: int, soft: bool) -> dict[int, float]:
    """Return how likely each of the dealer's results is; 22 is too much."""
    if total >= 17:
        return {min(total, 22): 1.0}
    ends: dict[int, float] = {}
    for card, chance in CHANCES.items():
        for end, likely in dealers(*drawn(total, soft, card)).items():
            ends[end] = ends.get(end, 0.0) + chance * likely
    return ends


@cache
def worth_of_standing(total: int, natural: bool, shown: int) -> float:
    worth = 0.0
    for hidden, chance in CHANCES.items():
        dealer, soft = drawn(*drawn(0, False, shown), hidden)
        if natural or dealer == 21:
            worth += chance * (natural - (dealer == 21))
            continue
        for end, likely in dealers(dealer, soft).items():
            worth += chance * likely * (1 if end == 22 else (total > end) - (total < end))
    return worth


@cache
def worth_of_hitting(total: int, soft: bool, shown: int) -> float:
    worth = 0.0
    for card, chance in CHANCES.items():
        more, still = drawn(total, soft, card)
        goes_on = more <= 21
        best_of_both = (
            max(worth_of_standing(more, False, shown), worth_of_hitting(more, still, shown)) if goes_on else -1
        )
        worth += chance * best_of_both
    return worth


def test_the_oracle_plays_best_and_its_value_is_exact():
    best_play = standing = 0.0
    for first, one in CHANCES.items():
        for second, two in CHANCES.items():
            for shown, three in CHANCES.items():
                total, soft = drawn(*drawn(0, False, first), second)
                stands, hits = worth_of_standing(total, total == 21, shown), worth_of_hitting(total, soft, shown)
                best_play += one * two * three * max(stands, hits)
                standing += one * two * three * stands
    assert best_play == pytest.approx(ORACLE_EXPECTED, abs=1e-6)
    assert standing == pytest.approx(STAND_EXPECTED, abs=1e-6)


@pytest.mark.parametrize("soft", [False, True])
def test_the_oracle_chooses_the_better_move_everywhere(soft):
    for total in range(12 if soft else 4, 22):
        for shown in CHANCES:
            stands, hits = worth_of_standing(total, False, shown), worth_of_hitting(total, soft, shown)
            seen = BlackjackObservation(
                player_cards=[],
                player_total=total,
                usable_ace=soft,
                dealer_cards=["A" if shown == 1 else str(shown)],
                legal_actions=["hit", "stand"],
                text="",
            )
            assert best(seen) == ("stand" if stands > hits else "hit")


def test_policies_earn_what_they_are_worth():
    env = Direct()
    hands = 20_000
    assert sum(oracle(env, seed=seed) for seed in range(hands)) / hands == pytest.approx(ORACLE_EXPECTED, abs=0.02)
    assert sum(stand(env, seed=seed) for seed in range(hands)) / hands == pytest.approx(STAND_EXPECTED, abs=0.02)
    assert {null(env, seed=seed) for seed in range(50)} == {MIN_RETURN}


@pytest.mark.slow
def test_hands_are_played_in_a_sandbox():
    try:
        with BlackjackEnv.with_provider(SandboxProvider()) as env:
            direct = Direct()
            assert [oracle(env, seed=seed) for seed in range(20)] == [
                oracle(direct, seed=seed) for seed in range(20)
            ]
            assert null(env) == MIN_RETURN
    except IsolationError as error:
        pytest.skip(f"no sandbox here: {error}")
