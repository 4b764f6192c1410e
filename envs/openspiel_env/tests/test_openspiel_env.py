"""What openspiel_env promises: the contract, the games it names, its opponents, and what it refuses."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

pytest.importorskip("pyspiel", reason="open_spiel is not installed")

import pyspiel

from openenv.errors import ConfigurationError, InvalidRequestError, IsolationError
from openenv.models import StepResult
from openenv.providers import SandboxProvider
from openenv.testing import EnvironmentContract, EnvironmentMemoryContract, LocalServer
from openspiel_env import OpenSpielAction, OpenSpielEnv, OpenSpielObservation, OpenSpielState, policies
from openspiel_env.server import app
from openspiel_env.server.games import READ_FILES
from openspiel_env.server.openspiel_environment import OpenSpielEnvironment
from openspiel_env.server.opponents import opponent_named

NAMED = ("catch", "cliff_walking", "tic_tac_toe", "connect_four", "kuhn_poker", "leduc_poker", "blackjack", "2048")


class Legal:
    """Choose the first legal action, which is the same for the same episode so far."""

    def choose_action(self, step: int, result: StepResult[OpenSpielObservation]) -> OpenSpielAction:
        legal = result.observation.legal_actions
        return OpenSpielAction(action_id=legal[step % len(legal)])


class TestContract(EnvironmentContract):
    environment = OpenSpielEnvironment
    actions = (OpenSpielAction(action_id=0), OpenSpielAction(action_id=1), OpenSpielAction(action_id=2))
    bad_actions = (
        {},
        {"action_id": "x"},
        {"action_id": 3},
        {"action_id": -1},
        {"action_id": 10**30},
        {"action_id": 1.5},
        {"action_id": None},
        {"action_id": [0]},
        {"action_id": 0, "more": 1},
    )


class TestContractOfPoker(Legal, TestContract):
    environment = lambda: OpenSpielEnvironment("leduc_poker")  # noqa: E731
    actions = (OpenSpielAction(action_id=1),)
    bad_actions = ({"action_id": 0},)  # nobody has bet, so there is nothing to fold to


class TestContractOfAThinkingOpponent(Legal, TestContract):
    environment = lambda: OpenSpielEnvironment("tic_tac_toe", opponent_policy="mcts", simulations=20)  # noqa: E731
    actions = (OpenSpielAction(action_id=4),)
    bad_actions = ({"action_id": 9},)


@pytest.mark.slow
class TestMemory(EnvironmentMemoryContract):
    environment = OpenSpielEnvironment
    actions = (OpenSpielAction(action_id=1),)
    steps = 10


def episode(
    choose: Callable[[OpenSpielObservation], int] | None = None, seed: int = 1, **reset: Any
) -> list[OpenSpielObservation]:
    """Play a game to its end, with random moves if nothing is said."""
    rng = Random(seed)
    environment = OpenSpielEnvironment()
    seen = [environment.reset(seed=seed, **reset)]
    while not seen[-1].done:
        now = seen[-1]
        move = choose(now) if choose else rng.choice(now.legal_actions)
        seen.append(environment.step(OpenSpielAction(action_id=move)))
    return seen


# --- games -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMED)
def test_a_game_is_played_to_its_end_by_its_name(name):
    first, *steps = episode(game_name=name)
    assert first.game_phase == "initial"
    assert first.reward is None
    assert all(seen.game_phase == "playing" for seen in steps[:-1])
    last = steps[-1]
    assert (last.game_phase, last.current_player_id, last.legal_actions) == ("terminal", -4, [])
    assert sum(seen.reward for seen in steps) == last.returns[0]
    for seen in (first, *steps):
        assert len(seen.info_state) == len(first.info_state) > 0
        assert seen.text
        assert len(seen.action_names) == len(seen.legal_actions)


@pytest.mark.parametrize("name", NAMED)
def test_the_same_seed_and_moves_give_the_same_game(name):
    first = episode(seed=5, game_name=name)
    assert first == episode(seed=5, game_name=name)


def test_seeds_differ():
    assert len({tuple(episode(seed=seed)[0].info_state) for seed in range(30)}) == 5


@pytest.mark.slow
def test_every_game_of_openspiel_can_be_played_or_is_refused_with_a_reason():
    refused = {}
    for name in pyspiel.registered_names():
        environment, rng = OpenSpielEnvironment(), Random(0)
        try:
            seen = environment.reset(seed=0, game_name=name)
        except InvalidRequestError as error:
            refused[name] = str(error)
            continue
        for _ in range(20):
            if seen.done:
                break
            seen = environment.step(OpenSpielAction(action_id=rng.choice(seen.legal_actions)))
    loadable = {each.short_name for each in pyspiel.registered_games() if each.default_loadable}
    odd = {name for name in refused if name in loadable and "population" not in refused[name]}
    assert odd <= READ_FILES


def test_the_oracle_always_catches_and_the_null_policy_does_in_one_of_five():
    environment = Direct()
    assert {policies.oracle(environment, seed=seed) for seed in range(40)} == {policies.MAX_RETURN}
    earned = [policies.null(environment, seed=seed) for seed in range(400)]
    assert set(earned) == {policies.MIN_RETURN, policies.MAX_RETURN}
    assert sum(earned) / len(earned) == pytest.approx(policies.NULL_EXPECTED, abs=0.1)
    assert policies.around_the_cliff(environment) == policies.CLIFF_RETURN


class Direct:
    """An environment with the face of a blocking client."""

    def __init__(self) -> None:
        self._environment = OpenSpielEnvironment()

    def reset(self, **arguments: Any) -> StepResult[OpenSpielObservation]:
        return self._result(self._environment.reset(**arguments))

    def step(self, action: OpenSpielAction) -> StepResult[OpenSpielObservation]:
        return self._result(self._environment.step(action))

    @staticmethod
    def _result(seen: OpenSpielObservation) -> StepResult[OpenSpielObservation]:
        return StepResult(seen, seen.reward, seen.done)


def test_cliff_walking_ends_at_its_horizon_by_its_own_rule():
    seen = episode(lambda _: 1, game_name="cliff_walking", game_params={"horizon": 7})
    assert len(seen) == 8
    assert sum(each.reward for each in seen[1:]) == -7.0


def test_a_falling_ball_and_its_names_are_shown():
    first = episode(seed=1)[0]
    assert first.text.splitlines()[0].count("o") == 1
    assert first.text.splitlines()[-1] == "..x.."
    assert first.action_names == ["LEFT", "STAY", "RIGHT"]


def test_without_text_there_is_none():
    seen = episode(text=False)[1]
    assert (seen.text, seen.action_names) == ("", [])
    assert seen.legal_actions == [0, 1, 2]


def test_parameters_make_another_game():
    seen = episode(game_name="catch", game_params={"rows": 4, "columns": 3})
    assert len(seen) == 4
    assert len(seen[0].info_state) == 12


def test_a_game_of_another_game_is_named_with_it():
    written = episode(game_name="misere(game=tic_tac_toe())")
    given = episode(game_name="misere", game_params={"game": {"name": "tic_tac_toe"}})
    assert written == given
    assert given[-1].reward == -episode(game_name="tic_tac_toe")[-1].reward


def test_games_in_which_all_move_at_once_are_asked_in_turn():
    seen = episode(lambda _: 0, game_name="matrix_rps", opponent_policy="last")
    assert (seen[-1].reward, seen[-1].returns, seen[-1].opponent_last_action) == (1.0, [1.0, -1.0], 2)


def test_a_game_that_draws_by_itself_follows_the_seed():
    games = [episode(lambda now: now.legal_actions[0], seed=seed, game_name="tarok") for seed in (1, 1, 2)]
    assert games[0] == games[1] != games[2]


def test_nobody_sees_what_the_game_hides():
    for seed in range(20):
        for seen in episode(seed=seed, game_name="kuhn_poker"):
            assert len(seen.text.splitlines()) == 1
            assert seen.info_state[2:5].count(1.0) == 1  # one card, the agent's own
    dealt = episode(lambda _: 1, seed=3, game_name="blackjack")[0]
    assert "??" in dealt.text


# --- opponents ---------------------------------------------------------------------------------------


def test_the_agent_may_be_any_player():
    seen = episode(game_name="tic_tac_toe", agent_player=1)
    assert seen[0].current_player_id == 1
    assert seen[0].opponent_last_action is not None
    assert len(seen[0].legal_actions) == 8
    assert seen[-1].reward == seen[-1].returns[1]


@pytest.mark.parametrize(("policy", "move"), [("first", 1), ("last", 8)])
def test_plain_opponents_take_the_first_or_the_last_move(policy, move):
    environment = OpenSpielEnvironment("tic_tac_toe", opponent_policy=policy)
    environment.reset()
    assert environment.step(OpenSpielAction(action_id=0)).opponent_last_action == move


@pytest.mark.parametrize("agent", [0, 1])
def test_minimax_never_loses_and_wins_where_it_can(agent):
    rewards = [
        episode(seed=seed, game_name="tic_tac_toe", agent_player=agent, opponent_policy="minimax")[-1].reward
        for seed in range(15)
    ]
    assert max(rewards) == 0.0 or max(rewards) == -1.0
    assert -1.0 in rewards


def test_minimax_knows_that_nim_is_won_by_the_second_player():
    for seed in range(5):
        assert episode(seed=seed, game_name="nim", opponent_policy="minimax")[-1].reward == -1.0


@pytest.mark.parametrize("name", ["kuhn_poker", "backgammon", "hanabi", "goofspiel"])
def test_minimax_refuses_a_game_that_is_not_open(name):
    with pytest.raises(InvalidRequestError, match="minimax"):
        OpenSpielEnvironment().reset(game_name=name, opponent_policy="minimax")


@pytest.mark.parametrize(
    ("moves", "answer"),
    [
        ([0, 3, 1, 3, 0, 3, 6], 3),  # three of its own stand in column 3
        ([0, 6, 1, 6, 2], 3),  # the fourth of the agent's at the bottom
        ([0, 3, 0, 3, 0], 0),  # and on top of three
    ],
)
def test_minimax_takes_a_win_and_prevents_a_loss_in_a_game_too_large_to_be_solved(moves, answer):
    game = pyspiel.load_game("connect_four")
    for seed in range(3):
        position = game.new_initial_state()
        for move in moves:
            position.apply_action(move)
        assert opponent_named("minimax", game, Random(seed), 1)(position) == answer


def test_minimax_beats_random_moves_in_a_game_too_large_to_be_solved_and_repeats_itself():
    games = [episode(seed=seed, game_name="connect_four", opponent_policy="minimax") for seed in range(5)]
    assert sum(game[-1].reward for game in games) <= -4
    assert episode(seed=3, game_name="connect_four", opponent_policy="minimax") == games[3]


def test_tree_search_beats_random_moves_and_repeats_itself():
    games = [episode(seed=seed, game_name="connect_four", opponent_policy="mcts") for seed in range(10)]
    assert sum(game[-1].reward for game in games) <= -8
    assert episode(seed=3, game_name="connect_four", opponent_policy="mcts") == games[3]


@pytest.mark.parametrize("name", ["kuhn_poker", "leduc_poker"])
def test_tree_search_plays_what_it_can_know_of_poker(name):
    assert episode(seed=1, game_name=name, opponent_policy="mcts")[-1].done


@pytest.mark.parametrize("simulations", [0, -1, 10_001, "many", 2.5, None])
def test_its_budget_is_a_number_of_simulations(simulations):
    environment = OpenSpielEnvironment("tic_tac_toe", opponent_policy="mcts", simulations=simulations)
    with pytest.raises(InvalidRequestError, match="simulations"):
        environment.reset()


def test_an_agent_that_plays_all_gets_the_reward_of_whoever_moved():
    environment = OpenSpielEnvironment("tic_tac_toe", opponent_policy="self")
    assert environment.reset().current_player_id == 0
    seen = [environment.step(OpenSpielAction(action_id=move)) for move in (0, 3, 1, 4, 8, 5)]
    assert [each.current_player_id for each in seen] == [1, 0, 1, 0, 1, -4]
    assert [each.reward for each in seen] == [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]  # the second player won
    assert seen[-1].returns == [-1.0, 1.0]
    assert seen[-1].opponent_last_action is None


# --- how it is served --------------------------------------------------------------------------------


def test_variables_say_what_is_served(monkeypatch):
    monkeypatch.setenv("OPENSPIEL_GAME", "connect_four")
    monkeypatch.setenv("OPENSPIEL_GAME_PARAMS", '{"rows": 5}')
    monkeypatch.setenv("OPENSPIEL_AGENT_PLAYER", "1")
    monkeypatch.setenv("OPENSPIEL_OPPONENT_POLICY", "mcts")
    monkeypatch.setenv("OPENSPIEL_TEXT", "false")
    environment = app.make()
    seen = environment.reset()
    assert (seen.text, len(seen.info_state)) == ("", 3 * 5 * 7)
    assert (environment.state.agent_player, environment.state.num_players) == (1, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [("GAME_PARAMS", "{"), ("AGENT_PLAYER", "first"), ("SIMULATIONS", ""), ("TEXT", "perhaps")],
)
def test_a_variable_that_makes_no_sense_is_named(name, value, monkeypatch):
    monkeypatch.setenv(f"OPENSPIEL_{name}", value)
    with pytest.raises(ConfigurationError, match="OPENSPIEL_"):
        app.make()


def test_what_programs_for_other_releases_send_is_understood():
    async def main() -> None:
        async with LocalServer(OpenSpielEnvironment) as server, server.client() as env:
            await env.reset()
            result = await env.step({"action_id": 1, "game_name": "catch", "game_params": {}})
            assert result.reward == 0.0

    asyncio.run(main())


@pytest.mark.slow
def test_the_oracle_catches_in_a_sandbox():
    try:
        with OpenSpielEnv.with_provider(SandboxProvider()) as env:
            assert policies.oracle(env, seed=1) == policies.MAX_RETURN
            assert isinstance(env.state(), OpenSpielState)
    except IsolationError as error:
        pytest.skip(f"no sandbox here: {error}")
