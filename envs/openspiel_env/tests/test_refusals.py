"""What openspiel_env refuses: games that cannot be, and moves that are not legal."""

import pytest

pytest.importorskip("pyspiel", reason="open_spiel is not installed")

from openenv.errors import InvalidRequestError, NotResetError
from openspiel_env import OpenSpielAction
from openspiel_env.server.openspiel_environment import OpenSpielEnvironment


@pytest.mark.parametrize(
    ("reset", "reason"),
    [
        ({"game_name": "no_such_game"}, "no game"),
        ({"game_name": "tic_tac_to"}, "tic_tac_toe"),
        ({"game_name": ""}, "no game"),
        ({"game_name": "catch("}, "bracket"),
        ({"game_name": "misere(game=" * 20_000 + "nim()" + ")" * 20_000}, "at most"),  # OpenSpiel crashes
        ({"game_name": 5}, "set up"),
        ({"game_name": "mfg_garnet"}, "population"),
        ({"game_name": "efg_game(filename=/etc/passwd)"}, "reads files"),
        ({"game_name": "misere(game=efg_game(filename=/etc/passwd))"}, "reads files"),
        ({"game_name": "misere", "game_params": {"game": {"name": "nfg_game", "filename": "x"}}}, "reads files"),
        ({"game_name": "bargaining", "game_params": {"instances_file": "/etc/passwd"}}, "names a file"),
        ({"game_name": "misere", "game_params": {"game": {"nome": "nim"}}}, "mapping with its `name`"),
        ({"game_params": {"rows": 10**30}}, "at most"),
        ({"game_params": {"rows": float("nan")}}, "at most"),
        ({"game_params": {"rows": 1_000_000, "columns": 1_000_000}}, "too large"),
        ({"game_params": {"rows": -1}}, "no size"),
        ({"game_params": {"rows": "ten"}}, "Wrong type"),
        ({"game_params": {"rows": [1]}}, "is a number"),
        ({"game_params": {"no_such": 1}}, "Unknown parameter"),
        ({"game_params": 5}, "set up"),
        ({"agent_player": 1}, "players from 0 to 0"),
        ({"agent_player": -1}, "players from 0 to 0"),
        ({"agent_player": "x"}, "set up"),
        ({"game_name": "nim", "opponent_policy": "genius"}, "no opponent"),
        ({"game_name": "2048", "game_params": {"rows": 3}}, "Unknown parameter"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_game_that_cannot_be_is_refused_and_the_one_before_goes_on(reset, reason):
    environment = OpenSpielEnvironment()
    environment.reset(seed=1, episode_id="before")
    with pytest.raises(InvalidRequestError, match=reason):
        environment.reset(**reset)
    environment.step(OpenSpielAction(action_id=1))
    assert environment.state.episode_id == "before"
    assert environment.state.step_count == 1


@pytest.mark.parametrize("move", [-1, 9, 4, 10**30])
def test_an_illegal_move_is_refused_and_changes_nothing(move):
    environment = OpenSpielEnvironment("tic_tac_toe", opponent_policy="first")
    environment.reset()
    environment.step(OpenSpielAction(action_id=4))
    with pytest.raises(InvalidRequestError, match="no legal move"):
        environment.step(OpenSpielAction(action_id=move))
    seen = environment.step(OpenSpielAction(action_id=8))
    assert seen.text.count("x") == seen.text.count("o") == 2
    assert environment.state.step_count == 2


def test_a_move_before_the_first_reset_says_so():
    with pytest.raises(NotResetError, match=r"reset\(\)"):
        OpenSpielEnvironment().step(OpenSpielAction(action_id=0))
